import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

type RGB = readonly [number, number, number];

const css = readFileSync(join(import.meta.dirname, 'tokens.css'), 'utf8');
const [light = '', dark = ''] = css.split('@media (prefers-color-scheme: dark)');

/** The tokens of one colour scheme that are a plain colour. */
function colours(text: string): Map<string, RGB> {
  const found = text.matchAll(/--([\w-]+): #([0-9a-f]{6});/g);
  return new Map([...found].map(([, name = '', hex = '']) => [name, rgb(hex)]));
}

function rgb(hex: string): RGB {
  const [r = 0, g = 0, b = 0] = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return [r, g, b];
}

/** What is seen of a half-transparent ground over another. */
function over(top: RGB, share: number, under: RGB): RGB {
  const [r = 0, g = 0, b = 0] = top.map((c, i) => share * c + (1 - share) * (under[i] ?? 0));
  return [r, g, b];
}

/** Relative luminance (WCAG 2.2). */
function luminance(colour: RGB): number {
  const [r = 0, g = 0, b = 0] = colour.map((byte) => {
    const c = byte / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: RGB, b: RGB): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

const text = 4.5;
const sign = 3; // icons, borders that tell something

/** What stands on what, and how clearly it must. */
const pairs: readonly (readonly [string, string, number])[] = [
  ...['ground', 'surface', 'raised', 'sunken', 'accent-wash'].flatMap(
    (on) =>
      [
        ['ink', on, text],
        ['ink-soft', on, text],
        ['accent', on, sign],
      ] as const,
  ),
  ['on-accent', 'accent', text],
  ['on-accent', 'accent-strong', text],
  ['alarm', 'ground', text],
  ['alarm', 'surface', text],
  ['tile-ink', 'tile', text],
  ['tile-ink-soft', 'tile', text],
  ['brass', 'tile', sign],
];

describe.each([
  ['light', colours(light)],
  ['dark', new Map([...colours(light), ...colours(dark)])],
])('colours in the %s', (_, tokens) => {
  const of = (name: string): RGB => {
    const colour = tokens.get(name);
    if (!colour) throw new Error(`no colour ${name}`);
    return colour;
  };

  it.each(pairs)('%s on %s has %d:1', (ink, ground, least) => {
    expect(contrast(of(ink), of(ground))).toBeGreaterThanOrEqual(least);
  });

  it.each([
    ['tile-ink', text],
    ['tile-ink-soft', text],
    ['brass', sign],
    ['tile-alarm', sign],
  ])('%s on a plate over a white picture has %d:1', (ink, least) => {
    const [, r, g, b, share] = /--plate: rgb\((\d+) (\d+) (\d+) \/ (\d+)%\)/.exec(css) ?? [];
    const plate: RGB = [Number(r), Number(g), Number(b)];
    const worst = over(plate, Number(share) / 100, [255, 255, 255]);
    expect(contrast(of(ink), worst)).toBeGreaterThanOrEqual(least);
  });

  it.each(['leave', 'leave-strong'])('white on %s has 4.5:1', (ground) => {
    expect(contrast([255, 255, 255], of(ground))).toBeGreaterThanOrEqual(text);
  });
});
