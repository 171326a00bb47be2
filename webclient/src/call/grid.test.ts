import { describe, expect, it } from 'vitest';
import { bestGrid, capacity } from './grid';

const gap = 8;

describe('bestGrid', () => {
  it.each([
    // tiles, window, columns x rows
    [1, 1440, 800, 1, 1],
    [2, 1440, 800, 2, 1],
    [3, 1440, 800, 2, 2],
    [4, 1440, 800, 2, 2],
    [5, 1440, 800, 3, 2],
    [9, 1440, 800, 3, 3],
    [12, 1440, 800, 4, 3],
    [2, 360, 600, 1, 2],
    [3, 360, 600, 1, 3],
    [4, 360, 600, 2, 2],
    [25, 3840, 2100, 5, 5],
    [2, 2000, 300, 2, 1],
    [3, 300, 2000, 1, 3],
  ])('%i tiles in %ix%i: %i x %i', (count, width, height, columns, rows) => {
    expect(bestGrid(count, width, height, gap)).toMatchObject({ columns, rows });
  });

  it('stays inside the window, with room for all, in every size', () => {
    for (let count = 1; count <= 60; count++) {
      for (const [width, height] of [
        [360, 560],
        [740, 300],
        [1440, 820],
        [3840, 2080],
      ] as const) {
        const grid = bestGrid(count, width, height, gap);
        expect(grid.columns * grid.rows).toBeGreaterThanOrEqual(count);
        expect(grid.columns * grid.width + (grid.columns - 1) * gap).toBeLessThanOrEqual(width);
        expect(grid.rows * grid.height + (grid.rows - 1) * gap).toBeLessThanOrEqual(height);
        const shape = grid.width / grid.height;
        expect(shape).toBeGreaterThan(0.7);
        expect(shape).toBeLessThan(1.82);
      }
    }
  });

  it('never shows a face smaller than another grid would', () => {
    const face = (w: number, h: number): number => Math.min(w, (h * 4) / 3);
    for (let count = 1; count <= 30; count++) {
      const best = bestGrid(count, 1280, 720, gap);
      for (let columns = 1; columns <= count; columns++) {
        const rows = Math.ceil(count / columns);
        const width = (1280 - gap * (columns - 1)) / columns;
        const height = (720 - gap * (rows - 1)) / rows;
        const other = face(Math.min(width, (height * 16) / 9), Math.min(height, (width * 4) / 3));
        expect(face(best.width, best.height)).toBeGreaterThanOrEqual(Math.floor(other) - 2);
      }
    }
  });

  it('gives nothing in no space', () => {
    expect(bestGrid(3, 0, 0, gap)).toMatchObject({ width: 0, height: 0 });
    expect(bestGrid(0, 800, 600, gap)).toMatchObject({ width: 0, height: 0 });
  });
});

describe('capacity', () => {
  it.each([
    [1, 360, 500, 1],
    [8, 360, 500, 8],
    [50, 360, 500, 8],
    [50, 1440, 800, 50],
    [200, 1440, 800, 70],
    [3, 0, 0, 1],
    [0, 800, 600, 0],
  ])('%i tiles in %ix%i: %i are shown', (count, width, height, shown) => {
    expect(capacity(count, width, height, gap)).toBe(shown);
  });
});
