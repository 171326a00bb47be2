import { expect, it } from 'vitest';
import { answerToVoice, keepHandles, packetsSent, speak, useVoice } from './inpage';
import { interval, patience } from './person';
import { place } from './place';

const here = place(['chromium']);

it('two people see and hear each other under one number', async () => {
  const maya = await here.chromium.person('Maya');
  const tomas = await here.chromium.person('Tomás');
  const link = await maya.open(here.server.url);
  await tomas.follow(link);

  await Promise.all([maya.expectTiles('Maya', 'Tomás'), tomas.expectTiles('Maya', 'Tomás')]);
  await Promise.all([maya.expectToSee('Tomás'), tomas.expectToSee('Maya')]);
  await Promise.all([maya.expectToHear(), tomas.expectToHear()]);
  await Promise.all([maya.expectWholeKey(), tomas.expectWholeKey()]);
  expect(await maya.safetyNumber()).toBe(await tomas.safetyNumber());

  // The secret stays in the fragment, and the page keeps its own policy.
  expect(await maya.page.title()).not.toContain(new URL(link).hash.slice(1));
  expect(maya.complaints).toEqual([]);
  expect(tomas.complaints).toEqual([]);
});

it('muting and turning the camera off stop what the other gets', async () => {
  const maya = await here.chromium.person('Maya');
  const tomas = await here.chromium.person('Tomás');
  await tomas.follow(await maya.open(here.server.url));
  await tomas.expectToHear();
  await tomas.expectToSee('Maya');

  await maya.button('Mute microphone').click();
  await tomas.tile('Maya').getByRole('img', { name: 'Muted' }).waitFor();
  await tomas.expectSilence();
  await maya.button('Unmute microphone').click();
  await tomas.expectToHear();

  await maya.button('Turn camera off').click();
  await tomas.tile('Maya').locator('video').waitFor({ state: 'detached' });
  await maya.button('Turn camera on').click();
  await tomas.tile('Maya').locator('video').waitFor();
});

it('a voice that is silent takes next to nothing, and is heard when it is back', async () => {
  const maya = await here.chromium.person('Maya');
  const tomas = await here.chromium.person('Tomás');
  for (const script of [keepHandles, useVoice]) await maya.page.addInitScript(script);
  await tomas.follow(await maya.open(here.server.url));
  await maya.button('Turn camera off').click();
  await maya.page.evaluate(speak, 0.5);
  await tomas.expectToHear();

  let before = 0;
  const perSecond = async (): Promise<number> => {
    const last = before;
    before = await maya.page.evaluate(packetsSent);
    return before - last;
  };
  const eachSecond = { timeout: patience, interval: 1_000 };
  expect(await maya.page.evaluate(answerToVoice)).toContain('usedtx=1');
  await expect.poll(perSecond, eachSecond).toBeGreaterThan(30); // 50, one each 20 ms
  await maya.page.evaluate(speak, 0);
  await expect.poll(perSecond, eachSecond).toBeLessThan(10); // one each 400 ms
  await tomas.expectSilence();
  await maya.page.evaluate(speak, 0.5);
  await tomas.expectToHear();
  await maya.expectWholeKey();
});

it('a third comes and goes, and the number changes with it', async () => {
  const maya = await here.chromium.person('Maya');
  const tomas = await here.chromium.person('Tomás');
  const aiko = await here.chromium.person('Aiko');
  const link = await maya.open(here.server.url);
  await tomas.follow(link);
  const two = ['Maya', 'Tomás'];
  await Promise.all([maya.expectTiles(...two), tomas.expectTiles(...two)]);
  const before = await maya.safetyNumber();

  await aiko.follow(link);
  const three = [...two, 'Aiko'];
  await Promise.all([maya, tomas, aiko].map((person) => person.expectTiles(...three)));
  await Promise.all([maya, tomas, aiko].map((person) => person.expectWholeKey()));
  const during = await maya.safetyNumber();
  expect(await tomas.safetyNumber()).toBe(during);
  expect(await aiko.safetyNumber()).toBe(during);
  await Promise.all([maya.expectToSee('Aiko'), aiko.expectToSee('Tomás')]);

  await aiko.button('Leave').click();
  await aiko.button('Rejoin').waitFor();
  await Promise.all([maya.expectTiles(...two), tomas.expectTiles(...two)]);
  await Promise.all([maya.expectWholeKey(), tomas.expectWholeKey()]);
  const after = await maya.safetyNumber();
  expect(await tomas.safetyNumber()).toBe(after);
  expect(new Set([before, during, after]).size).toBe(3);
});

it('goes on when the page that let people in is closed', async () => {
  const maya = await here.chromium.person('Maya');
  const tomas = await here.chromium.person('Tomás');
  const aiko = await here.chromium.person('Aiko');
  const link = await maya.open(here.server.url);
  await tomas.follow(link);
  await tomas.expectTiles('Maya', 'Tomás');

  await maya.page.close();
  await aiko.follow(link);
  await Promise.all([tomas.expectTiles('Tomás', 'Aiko'), aiko.expectTiles('Tomás', 'Aiko')]);
  await Promise.all([tomas.expectToSee('Aiko'), aiko.expectToSee('Tomás')]);
  await Promise.all([tomas.expectWholeKey(), aiko.expectWholeKey()]);
  expect(await tomas.safetyNumber()).toBe(await aiko.safetyNumber());
});

it('keeps the number in an open dialog, and says who came since', async () => {
  const maya = await here.chromium.person('Maya');
  const tomas = await here.chromium.person('Tomás');
  const link = await maya.open(here.server.url);
  await maya.expectWholeKey();
  await maya.button('Safety number').click();
  const number = maya.page.getByTestId('safety-number');
  const before = await number.innerText();

  await tomas.follow(link);
  await maya.page.getByText('Tomás came since').waitFor();
  expect(await number.innerText()).toBe(before);
  await maya.button('Show it').click();
  await expect
    .poll(() => number.innerText(), { timeout: patience, interval })
    .toBe(await tomas.safetyNumber());
});

it('does not call without a usable link', async () => {
  const maya = await here.chromium.person('Maya');
  for (const [path, words] of [
    ['/r/tea', 'This link lacks its key'],
    ['/r/tea#AQAB', 'The key in this link is damaged'],
  ] as const) {
    await maya.page.goto('about:blank');
    await maya.page.goto(here.server.url + path);
    await maya.page.getByRole('heading', { name: words }).waitFor();
    expect(await maya.button('Join').count()).toBe(0);
  }
});

it('does not call in a browser that cannot encrypt', async () => {
  const maya = await here.chromium.person('Maya');
  await maya.page.addInitScript(() => {
    Reflect.deleteProperty(globalThis, 'RTCRtpScriptTransform');
    Reflect.deleteProperty(RTCRtpSender.prototype, 'createEncodedStreams');
  });
  await maya.page.goto(here.server.url);
  await maya.page.getByRole('heading', { name: 'This browser cannot encrypt meetings' }).waitFor();
  expect(await maya.button('New meeting').count()).toBe(0);
});
