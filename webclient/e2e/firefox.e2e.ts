import { describe, expect, it } from 'vitest';
import {
  decoding,
  dropTransforms,
  framesArrived,
  keepHandles,
  keepResolution,
  killWorkers,
  openConnections,
  packetsSent,
} from './inpage';
import { interval, patience, type Person } from './person';
import { place } from './place';
import { outerAddress } from './server';

// Firefox gathers no loopback candidate. `.ci/with-address` sees to another address.
const where = outerAddress ? '' : ' (not run: this machine has loopback addresses only)';

describe.skipIf(!outerAddress)(`Firefox${where}`, () => {
  const here = place(['chromium', 'firefox'], { mediaAddress: outerAddress! });

  it('opens a meeting, Chromium comes, and they see and hear each other', async () => {
    const maya = await here.firefox.person('Maya');
    const tomas = await here.chromium.person('Tomás');
    const link = await maya.open(here.server.url);
    await maya.expectWholeKey();
    await tomas.follow(link);

    await Promise.all([maya.expectTiles('Maya', 'Tomás'), tomas.expectTiles('Maya', 'Tomás')]);
    await Promise.all([maya.expectToSee('Tomás'), tomas.expectToSee('Maya')]);
    await Promise.all([maya.expectToHear(), tomas.expectToHear()]);
    await Promise.all([maya.expectWholeKey(), tomas.expectWholeKey()]);
    expect(await maya.safetyNumber()).toBe(await tomas.safetyNumber());

    for (const [speaker, listener] of [
      [maya, tomas],
      [tomas, maya],
    ] as const) {
      await speaker.button('Mute microphone').click();
      await listener.tile(speaker.name).getByRole('img', { name: 'Muted' }).waitFor();
      await listener.expectSilence();
      await speaker.button('Unmute microphone').click();
      await listener.expectToHear();

      await speaker.button('Turn camera off').click();
      await listener.tile(speaker.name).locator('video').waitFor({ state: 'detached' });
      await speaker.button('Turn camera on').click();
      await listener.tile(speaker.name).locator('video').waitFor();
      await listener.expectToSee(speaker.name);
    }
    expect(await maya.tabStops(7)).toEqual([
      'Encryption',
      'Mute microphone',
      'Turn camera off',
      'Copy link',
      'People',
      'Safety number',
      'Leave',
    ]);
    expect(maya.complaints).toEqual([]);
    expect(tomas.complaints).toEqual([]);
  });

  it("comes to Chromium's meeting, a third comes, and the keys change", async () => {
    const maya = await here.chromium.person('Maya');
    const tomas = await here.firefox.person('Tomás');
    const aiko = await here.firefox.person('Aiko');
    const link = await maya.open(here.server.url);
    await maya.expectWholeKey();
    await tomas.follow(link);
    await Promise.all([maya.expectToSee('Tomás'), tomas.expectToSee('Maya')]);
    await Promise.all([maya.expectWholeKey(), tomas.expectWholeKey()]);
    const before = await maya.safetyNumber();
    expect(await tomas.safetyNumber()).toBe(before);

    await aiko.follow(link);
    const all = [maya, tomas, aiko];
    await Promise.all(all.map((person) => person.expectTiles('Maya', 'Tomás', 'Aiko')));
    await Promise.all(all.map((person) => person.expectWholeKey()));
    const during = await maya.safetyNumber();
    expect(during).not.toBe(before);
    expect(await tomas.safetyNumber()).toBe(during);
    expect(await aiko.safetyNumber()).toBe(during);
    await Promise.all([
      ...[maya, tomas].map((person) => person.expectToSee('Aiko')),
      ...['Maya', 'Tomás'].map((name) => aiko.expectToSee(name)),
    ]);
  });

  it("is shown the layer of Chromium's VP9 that its window takes", async () => {
    const camera = { width: 1024, height: 576, frameRate: 10 };
    const maya = await here.chromium.person('Maya', { camera });
    await maya.page.addInitScript(keepResolution);
    await maya.prefer('vp9');
    const tomas = await here.firefox.person('Tomás', { window: { width: 400, height: 400 } });
    await tomas.page.addInitScript(keepHandles);
    await tomas.follow(await maya.open(here.server.url));
    await tomas.button('Turn camera off').click();
    for (const [width, height, lines] of [
      [400, 400, 144],
      [1500, 1100, 576],
      [800, 480, 288], // 600 would be at the edge of two layers
    ] as const) {
      await tomas.page.setViewportSize({ width, height });
      const seen = () => tomas.page.evaluate(decoding);
      const inTime = { timeout: patience, interval };
      await expect.poll(async () => (await seen()).height, inTime).toBe(lines);
      const { codec, frames } = await seen();
      expect(codec).toBe('video/VP9');
      await expect.poll(async () => (await seen()).frames, inTime).toBeGreaterThan(frames + 20);
    }
    await Promise.all([maya, tomas].map((person) => person.expectWholeKey()));
  });

  it('sends no frame once its worker has died, and says so', async () => {
    const maya = await here.firefox.person('Maya');
    const tomas = await here.chromium.person('Tomás');
    for (const { page } of [maya, tomas]) await page.addInitScript(keepHandles);
    await tomas.follow(await maya.open(here.server.url));
    await tomas.button('Mute microphone').click();
    await tomas.button('Turn camera off').click();
    await Promise.all([tomas.expectToSee('Maya'), tomas.expectToHear()]);

    // What Maya's browser counts as sent is no measure: it goes on with old packets as probes.
    const arrived = (): Promise<number> => tomas.page.evaluate(framesArrived);
    await maya.page.evaluate(killWorkers);
    let last = 0;
    const rise = async (): Promise<number> => {
      const before = last;
      last = await arrived();
      return last - before;
    };
    await expect.poll(rise, { timeout: patience, interval: 1_000 }).toBe(0);
    await maya.page.getByText('The encryption does not answer').first().waitFor();
    expect(await arrived()).toBe(last);
    expect(await maya.page.getByRole('heading').count()).toBe(0);
  });

  // What the client never does, since in Firefox it opens the sender, also when the worker is dead.
  it.each([
    ['', () => undefined],
    [' after the worker has died', killWorkers],
  ])('ends the call when a transform is taken off%s', async (_, before) => {
    const maya = await here.firefox.person('Maya');
    await maya.page.addInitScript(keepHandles);
    await maya.open(here.server.url);
    await expectToSend(maya);
    await maya.page.evaluate(before);
    await maya.page.evaluate(dropTransforms);
    await maya.page
      .getByRole('heading', { name: 'This browser left out the encryption' })
      .waitFor();
    expect(await maya.page.evaluate(openConnections)).toBe(0);
  });
});

async function expectToSend({ page }: Person): Promise<void> {
  await expect
    .poll(() => page.evaluate(packetsSent), { timeout: patience, interval })
    .toBeGreaterThan(50);
}
