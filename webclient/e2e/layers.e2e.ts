import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Browser } from './browser';
import { decoding, type Decoding, forgetExtensions, keepHandles, sending } from './inpage';
import { interval, patience, type Person } from './person';
import { Server } from './server';

// One camera, and viewers whose tiles have other sizes: each is sent what its tile needs.

// The lowest of three layers of VP9 must have 135 lines: encoders make no smaller ones.
const camera = { width: 1024, height: 576, frameRate: 10 };
const windows = {
  large: { width: 1500, height: 1100 },
  middle: { width: 800, height: 600 },
  small: { width: 400, height: 400 },
};
const sizes = { large: 576, middle: 288, small: 144 };
type Size = keyof typeof windows;

let server: Server;
let browser: Browser;

beforeAll(async () => {
  [server, browser] = await Promise.all([Server.start(), Browser.start()]);
});

afterEach(async ({ task }) => {
  await browser.clear(task.result?.state === 'fail' ? task.name : undefined);
});

afterAll(async () => {
  await browser.stop();
  await server.stop();
});

const seenBy = (viewer: Person): Promise<Decoding> => viewer.page.evaluate(decoding);

async function expectHeight(viewer: Person, height: number): Promise<void> {
  const seen = async (): Promise<number> => (await seenBy(viewer)).height;
  await expect.poll(seen, { timeout: patience, interval }).toBe(height);
}

/** Waits until the picture has gone on for so many frames. */
async function expectToGoOn(viewer: Person, frames = 20): Promise<void> {
  const { frames: before } = await seenBy(viewer);
  const since = async (): Promise<number> => (await seenBy(viewer)).frames - before;
  await expect.poll(since, { timeout: patience, interval }).toBeGreaterThanOrEqual(frames);
}

/** Somebody who only looks, through a window of this size. */
async function viewer(
  name: string,
  size: Size,
  link: string,
  descriptor: boolean,
): Promise<Person> {
  const person = await browser.person(name, { window: windows[size] });
  await person.page.addInitScript(keepHandles);
  if (!descriptor) await person.page.addInitScript(forgetExtensions);
  await person.follow(link);
  await person.button('Turn camera off').click();
  return person;
}

it.each([
  ['VP8', true],
  ['VP8', false],
  ['VP9', true],
  ['VP9', false],
])('%s is shown in three sizes, with a descriptor in the slot: %s', async (codec, descriptor) => {
  const maya = await browser.person('Maya', { camera });
  await maya.page.addInitScript(keepHandles);
  await maya.prefer(codec.toLowerCase());
  const link = await maya.open(server.url);
  const large = await viewer('Lars', 'large', link, descriptor);
  const middle = await viewer('Mina', 'middle', link, descriptor);
  const small = await viewer('Sven', 'small', link, descriptor);
  const viewers = { large, middle, small };

  for (const size of ['large', 'middle', 'small'] as const) {
    await viewers[size].expectToSee('Maya');
    await expectHeight(viewers[size], sizes[size]);
    expect((await seenBy(viewers[size])).codec).toBe(`video/${codec}`);
  }

  // A window that shrinks and grows again changes the layer, and the picture goes on.
  const before = await seenBy(large);
  for (const size of ['small', 'large', 'middle', 'large'] as const) {
    await large.page.setViewportSize(windows[size]);
    await expectHeight(large, sizes[size]);
    await expectToGoOn(large);
  }
  const after = await seenBy(large);
  // eslint-disable-next-line no-console -- how smooth it is depends on the machine
  console.log(codec, descriptor, JSON.stringify(before), JSON.stringify(after));
  await Promise.all(Object.values(viewers).map((viewer) => viewer.expectWholeKey()));
});

it('layers that nobody is shown are not made', async () => {
  const maya = await browser.person('Maya', { camera });
  await maya.page.addInitScript(keepHandles);
  await maya.prefer('vp9');
  const lars = await viewer('Lars', 'small', await maya.open(server.url), true);
  const expectToSend = (what: string): Promise<void> =>
    expect.poll(() => maya.page.evaluate(sending), { timeout: patience, interval }).toBe(what);

  await lars.expectToSee('Maya');
  await expectToSend('L1T3 144');
  await expectHeight(lars, sizes.small);
  await lars.page.setViewportSize(windows.large);
  await expectToSend('L3T3_KEY 576');
  await expectHeight(lars, sizes.large);
  await lars.page.setViewportSize(windows.middle);
  await expectToSend('L2T3_KEY 288');
  await expectHeight(lars, sizes.middle);
  await expectToGoOn(lars);
  expect(lars.complaints).toEqual([]);
});
