import { describe, expect, it } from 'vitest';
import { poolSize, wants } from './view';

describe('wants', () => {
  it('asks in device pixels, in steps, the largest first', () => {
    expect(
      wants(
        [
          { pid: 'a', width: 100, height: 75 },
          { pid: 'b', width: 401, height: 300 },
        ],
        2,
      ),
    ).toEqual([
      { pid: 'b', source: 'camera', width: 816, height: 608 },
      { pid: 'a', source: 'camera', width: 208, height: 160 },
    ]);
  });

  it('asks for nothing that has no size, and for no more than the limit', () => {
    expect(wants([{ pid: 'a', width: 0, height: 0 }], 1)).toEqual([]);
    const many = Array.from({ length: 150 }, (_, i) => ({ pid: `${i}`, width: 100, height: 100 }));
    expect(wants(many, 1)).toHaveLength(100);
  });
});

describe('poolSize', () => {
  it.each([
    [0, 0, 4, 3],
    [4, 3, 4, 3],
    [5, 4, 9, 6],
    [10, 13, 16, 16],
    [100, 400, 100, 16],
    [300, 1, 100, 3],
  ])('%i videos and %i voices: %i and %i slots', (videos, voices, video, audio) => {
    expect(poolSize(videos, voices)).toEqual({ video, audio });
  });
});
