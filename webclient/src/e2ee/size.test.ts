import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';

/** In bytes, as the server sends them: every participant loads the core before a meeting. */
const limits = { plain: 3_500_000, brotli: 1_000_000 };

const generated = new URL('./generated/conclave.wasm', import.meta.url);
const assets = new URL('../../dist/assets/', import.meta.url);
const built = (form: RegExp) =>
  existsSync(assets) ? readdirSync(assets).filter((name) => form.test(name)) : [];
const asset = (name: string) => readFileSync(new URL(name, assets));

// `make build` makes both.
describe.skipIf(!existsSync(generated))('the Go core as it is built', () => {
  it(`has at most ${limits.plain} bytes`, () => {
    expect(readFileSync(generated).length).toBeLessThanOrEqual(limits.plain);
  });
});

const cores = built(/\.wasm$/);
describe.skipIf(cores.length === 0)('the Go core as it is served', () => {
  const [core] = cores as [string];

  it('is one file, named by its content', () => {
    expect(cores).toEqual([expect.stringMatching(/^conclave-[\w-]{8}\.wasm$/)]);
  });

  it(`has at most ${limits.plain} bytes, and ${limits.brotli} in brotli`, () => {
    expect(asset(core).length).toBeLessThanOrEqual(limits.plain);
    expect(asset(`${core}.br`).length).toBeLessThanOrEqual(limits.brotli);
  });

  it('is the same in every form', () => {
    expect(brotliDecompressSync(asset(`${core}.br`)).equals(asset(core))).toBe(true);
    expect(gunzipSync(asset(`${core}.gz`)).equals(asset(core))).toBe(true);
  });

  it('is instantiated while it streams in, by the worker alone', () => {
    const users = built(/\.js$/).filter((name) => asset(name).includes(core));
    expect(users).toEqual([expect.stringMatching(/^worker-/)]);
    expect(asset(users[0]!).toString()).toMatch(/WebAssembly\.instantiateStreaming\(fetch\(/);
  });
});
