import { afterEach, describe, expect, it, vi } from 'vitest';
import { LevelMeters } from './audio';

const track = {} as MediaStreamTrack;

afterEach(() => vi.unstubAllGlobals());

describe('LevelMeters', () => {
  it('does without where there is nothing to measure with', () => {
    const meters = new LevelMeters();
    const noDevice = vi.fn(function () {
      throw new DOMException('no device', 'NotSupportedError');
    });
    vi.stubGlobal('AudioContext', noDevice);
    meters.watch('own', track);
    expect(meters.level('own')).toBe(0);
    expect(noDevice).toHaveBeenCalled();
    meters.resume();
    meters.close();
  });

  it('does without for a track that gives no sound', () => {
    const close = vi.fn(() => Promise.resolve());
    vi.stubGlobal('MediaStream', vi.fn());
    vi.stubGlobal(
      'AudioContext',
      class {
        close = close;
        createMediaStreamSource(): never {
          throw new DOMException('no audio track', 'InvalidStateError');
        }
      },
    );
    const meters = new LevelMeters();
    meters.watch('own', track);
    expect(meters.level('own')).toBe(0);
    meters.close();
    expect(close).toHaveBeenCalledTimes(1);
  });
});
