import { MaxWants, type PID, type Want } from '../signal/generated';

/** A tile on the page with its size in CSS pixels. */
export interface ShownTile {
  pid: PID;
  width: number;
  height: number;
}

const sizeStep = 16; // px; a window being dragged is not a new view for every pixel

/** What we want to see, as a whole, in device pixels; the largest tiles first. */
export function wants(tiles: readonly ShownTile[], pixelRatio: number): Want[] {
  const pixels = (css: number): number => Math.ceil((css * pixelRatio) / sizeStep) * sizeStep;
  return tiles
    .filter((tile) => tile.width > 0 && tile.height > 0)
    .map(({ pid, width, height }): Want => ({
      pid,
      source: 'camera',
      width: pixels(width),
      height: pixels(height),
    }))
    .sort((a, b) => b.width * b.height - a.width * a.height)
    .slice(0, MaxWants);
}

const videoPools = [4, 9, 16, 25, 36, 49, 64, 81, 100];
const audioPools = [3, 6, 12, 16];

/** How many slots the pool should have. It grows in steps, so that one join is not one offer. */
export function poolSize(videos: number, voices: number): { video: number; audio: number } {
  return { video: step(videoPools, videos), audio: step(audioPools, voices) };
}

function step(pools: readonly number[], wanted: number): number {
  return pools.find((size) => size >= wanted) ?? pools.at(-1) ?? wanted;
}
