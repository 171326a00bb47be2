import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Browser } from './browser';
import { patience } from './person';
import { conclaveTap, Server } from './server';
import { beforeWorker } from './worker';

let browser: Browser;
const scratch = mkdtempSync(join(tmpdir(), 'conclave-tap-'));

beforeAll(async () => {
  browser = await Browser.start();
});

afterAll(async () => {
  await browser.stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** Pieces of frames, in hex: as the encoder gave them, and as they came from the network. */
interface Pieces {
  send: string[];
  receive: string[];
}

it('the server gets no frame in clear', async () => {
  const tap = join(scratch, 'tap');
  const server = await Server.start({ binary: conclaveTap, flags: ['--tap', tap] });
  const maya = await browser.person('Maya');
  const tomas = await browser.person('Tomás');
  for (const { page } of [maya, tomas]) await watchFrames(page);
  await tomas.follow(await maya.open(server.url));
  await Promise.all([maya.expectToSee('Tomás'), tomas.expectToSee('Maya')]);

  const enough = 300;
  for (const { page } of [maya, tomas]) {
    const fewest = async (): Promise<number> => {
      const { send, receive } = await page.evaluate(pieces);
      return Math.min(send.length, receive.length);
    };
    await expect.poll(fewest, { timeout: patience, interval: 250 }).toBeGreaterThan(enough);
  }
  const seen = await Promise.all([maya, tomas].map(({ page }) => page.evaluate(pieces)));
  await browser.clear();
  await server.stop();

  const recorded = readFileSync(tap);
  const found = (hex: string): boolean => recorded.includes(Buffer.from(hex, 'hex'));
  const sent = seen.flatMap(({ send }) => send);
  const sealed = seen.flatMap(({ receive }) => receive);
  // What was sealed is in the record, but for pieces that two packets share: so the search works.
  expect(sealed.filter(found).length).toBeGreaterThan(0.8 * sealed.length);
  expect(sent.filter(found)).toEqual([]);
});

/** Puts a spy into the page's worker that sends pieces of every frame it reads to the page. */
async function watchFrames(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const kept: Pieces = { send: [], receive: [] };
    Object.assign(globalThis, { pieces: kept });
    new BroadcastChannel('pieces').onmessage = ({ data }: MessageEvent) => {
      const { direction, piece } = data as { direction: keyof Pieces; piece: string };
      kept[direction].push(piece);
    };
  });
  await beforeWorker(page, spy);
}

function pieces(): Pieces {
  return (globalThis as unknown as { pieces: Pieces }).pieces;
}

/** Runs in the worker, before its own code. */
function spy(): void {
  const channel = new BroadcastChannel('pieces');
  const skipped = 12; // bytes: what VP8 leaves in clear on purpose, and a little more
  const size = 16; // bytes of a piece; none is in two unlike frames by chance
  const tell = (direction: string, frame: unknown): void => {
    const { data } = frame as { data?: ArrayBuffer };
    if (!data || data.byteLength < skipped + 2 * size) return;
    const bytes = new Uint8Array(data, skipped, size);
    const piece = Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
    channel.postMessage({ direction, piece });
  };
  const directions = new WeakMap<object, string>();
  addEventListener('rtctransform', (event) => {
    const { transformer } = event as unknown as {
      transformer: { readable: object; options: { direction: string } };
    };
    directions.set(transformer.readable, transformer.options.direction);
  });
  const getReader = Reflect.get(ReadableStream.prototype, 'getReader') as (
    this: ReadableStream,
  ) => ReadableStreamDefaultReader<unknown>;
  const spied = function (this: ReadableStream): ReadableStreamDefaultReader<unknown> {
    const reader = getReader.call(this);
    const direction = directions.get(this);
    if (direction === undefined) return reader;
    const read = reader.read.bind(reader);
    reader.read = async () => {
      const result = await read();
      if (!result.done) tell(direction, result.value);
      return result;
    };
    return reader;
  };
  Object.assign(ReadableStream.prototype, { getReader: spied });
}
