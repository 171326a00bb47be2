import { expect, it } from 'vitest';
import {
  decoding,
  type Decoding,
  forgetExtensions,
  keepHandles,
  keepResolution,
  sending,
  slotsWithDescriptor,
} from './inpage';
import { interval, patience, type Person } from './person';
import { place } from './place';

// One camera, and viewers whose tiles have other sizes: each is sent what its tile needs.

// The lowest of three layers of VP9 must have 135 lines: encoders make no smaller ones.
const camera = { width: 1024, height: 576, frameRate: 10 };
const windows = {
  large: { width: 1500, height: 1100 },
  // Where four meet. Where two do, it is at the edge of two layers: 432 lines, 1.5 times 288.
  middle: { width: 800, height: 600 },
  small: { width: 400, height: 400 },
};
const places = { large: 3, middle: 2, small: 1 };
type Size = keyof typeof windows;

const here = place(['chromium']);

const seenBy = (viewer: Person): Promise<Decoding> => viewer.page.evaluate(decoding);
const heightFor = async (viewer: Person): Promise<number> => (await seenBy(viewer)).height;

/** Waits until the viewers see pictures of these sizes, compared with each other: a next one has twice the lines. */
async function expectSizes(viewers: Person[], sizes: number[]): Promise<void> {
  const seen = async (): Promise<number[]> => {
    const heights = await Promise.all(viewers.map(heightFor));
    const smallest = Math.min(...heights);
    return heights.map((height) =>
      smallest > 0 ? Math.round(Math.log2(height / smallest)) + 1 : 0,
    );
  };
  await expect.poll(seen, { timeout: patience, interval }).toEqual(sizes);
}

/** Waits until the picture has gone on for so many frames. */
async function expectToGoOn(viewer: Person, frames = 20): Promise<void> {
  const { frames: before } = await seenBy(viewer);
  const since = async (): Promise<number> => (await seenBy(viewer)).frames - before;
  await expect.poll(since, { timeout: patience, interval }).toBeGreaterThanOrEqual(frames);
}

/** Opens a meeting with a camera that is sent by this codec. */
async function open(codec: string): Promise<{ maya: Person; link: string }> {
  const maya = await here.chromium.person('Maya', { camera });
  await maya.page.addInitScript(keepHandles);
  if (codec === 'vp9') await maya.page.addInitScript(keepResolution); // of VP8 all sizes become smaller
  await maya.prefer(codec);
  return { maya, link: await maya.open(here.server.url) };
}

/** Somebody who only looks, through a window of this size. */
async function viewer(
  name: string,
  size: Size,
  link: string,
  descriptor: boolean,
): Promise<Person> {
  const person = await here.chromium.person(name, { window: windows[size] });
  await person.page.addInitScript(keepHandles);
  if (!descriptor) await person.page.addInitScript(forgetExtensions);
  await person.follow(link);
  await person.button('Turn camera off').click();
  return person;
}

it.each([
  ['VP8', true],
  ['VP9', true],
])('%s is shown in three sizes, with a descriptor in the slot: %s', async (codec, descriptor) => {
  const { link } = await open(codec.toLowerCase());
  const large = await viewer('Lars', 'large', link, descriptor);
  const middle = await viewer('Mina', 'middle', link, descriptor);
  const small = await viewer('Sven', 'small', link, descriptor);
  const viewers = [large, middle, small];
  for (const viewer of viewers) await viewer.expectToSee('Maya');
  await expectSizes(viewers, [3, 2, 1]);
  expect((await seenBy(small)).codec).toBe(`video/${codec}`);

  // A window that shrinks and grows again changes the layer, and the picture goes on.
  for (const size of ['small', 'large', 'middle', 'large'] as const) {
    await large.page.setViewportSize(windows[size]);
    await expectSizes(viewers, [places[size], 2, 1]);
    await expectToGoOn(large);
  }
  await Promise.all(viewers.map((viewer) => viewer.expectWholeKey()));
});

it.each([
  ['with', true],
  ['without', false],
])(
  'layers of VP9 that nobody is shown are not made, %s a descriptor in the slot',
  async (_, has) => {
    const { maya, link } = await open('vp9');
    const lars = await viewer('Lars', 'small', link, has);
    await lars.expectToSee('Maya');
    expect((await lars.page.evaluate(slotsWithDescriptor)) > 0).toBe(has);
    for (const [window, layers, lines] of [
      [windows.small, 'L1T3/4', 144],
      [windows.large, 'L3T3_KEY/1', 576],
      // Heights are told in steps of 90 lines: what is shown in 400 would take the layer above.
      [{ width: 800, height: 400 }, 'L2T3_KEY/2', 288],
      [windows.small, 'L1T3/4', 144],
    ] as const) {
      await lars.page.setViewportSize(window);
      const inTime = { timeout: patience, interval };
      await expect.poll(() => maya.page.evaluate(sending), inTime).toBe(layers);
      await expect.poll(() => heightFor(lars), inTime).toBe(lines);
      await expectToGoOn(lars);
    }
    expect(lars.complaints).toEqual([]);
  },
);
