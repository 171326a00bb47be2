import { type ChildProcess, spawn } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import type { Engine } from './browser';
import { keepHandles, openConnections, turnsOfSending, watchSending } from './inpage';
import type { Person } from './person';
import { place } from './place';
import { outerAddress } from './server';
import { beforeWorker, meddle, tell } from './worker';

// Nothing leaves but through the encryption: what goes past it ends the call, and a machine that is
// only slow does not.

const leftOut = 'This browser left out the encryption';
const turnsPromised = 40; // of 100 ms: 3 s by docs/security.md, and the page's way to its end

const engines: Engine[] = outerAddress ? ['chromium', 'firefox'] : ['chromium'];

describe.each(engines)('%s', (engine) => {
  const here = place(['chromium', engine], outerAddress ? { mediaAddress: outerAddress } : {});

  /** Maya, whose worker a test can meddle with, and Tomás, who sees and hears her. */
  async function meet(): Promise<{ maya: Person; tomas: Person }> {
    const maya = await here[engine].person('Maya');
    const tomas = await here.chromium.person('Tomás');
    await maya.page.addInitScript(keepHandles);
    await maya.page.addInitScript(watchSending);
    await beforeWorker(maya.page, meddle);
    await tomas.follow(await maya.open(here.server.url));
    await tomas.button('Mute microphone').click();
    await tomas.button('Turn camera off').click();
    await Promise.all([tomas.expectToSee('Maya'), tomas.expectToHear()]);
    return { maya, tomas };
  }

  /** Waits until this picture has moved on from what it is now, and the call is as it should be. */
  async function expectToGoOn(maya: Person, tomas: Person): Promise<void> {
    await maya.expectWholeKey();
    await tomas.expectToSeeMore('Maya');
    await tomas.expectToHear();
    expect(await maya.page.getByRole('heading').count()).toBe(0);
  }

  it('ends the call when frames begin to go past the transform', async () => {
    const { maya } = await meet();
    await maya.page.evaluate(turnsOfSending); // counts from here
    await tell(maya.page, { bypass: true });
    await maya.page.getByRole('heading', { name: leftOut }).waitFor();
    expect(await maya.page.evaluate(turnsOfSending)).toBeLessThan(turnsPromised);
    expect(await maya.page.evaluate(openConnections)).toBe(0);
    expect(await maya.button('Rejoin').count()).toBe(1);
  });

  it('goes on however late the worker is, and says so when it does not answer', async () => {
    const { maya, tomas } = await meet();
    await tell(maya.page, { slow: 4_000 });
    await maya.page.waitForTimeout(10_000);
    await tell(maya.page, { slow: 0 });
    await expectToGoOn(maya, tomas);

    await tell(maya.page, { block: 15_000 });
    const says = maya.page.getByText('The encryption does not answer').first();
    await says.waitFor();
    await says.waitFor({ state: 'detached' });
    await expectToGoOn(maya, tomas);
  });
});

describe('Chromium', () => {
  const here = place(['chromium']);
  const hogs: ChildProcess[] = [];
  afterEach(() => {
    for (const hog of hogs.splice(0)) hog.kill('SIGKILL');
  });

  it('ends the call at once when a transform is left out from the start', async () => {
    const maya = await here.chromium.person('Maya');
    await maya.page.addInitScript(keepHandles);
    await maya.page.addInitScript(watchSending);
    // The worker is told of a transform that the sender never gets: frames go out in clear.
    await maya.page.addInitScript(() => {
      const ignore = { set: () => undefined, get: () => null, configurable: true };
      Object.defineProperty(RTCRtpSender.prototype, 'transform', ignore);
    });
    await maya.open(here.server.url);
    await maya.page.getByRole('heading', { name: leftOut }).waitFor();
    expect(await maya.page.evaluate(turnsOfSending)).toBeLessThan(turnsPromised);
    expect(await maya.button('Rejoin').count()).toBe(1);
  });

  it('does not end a call because its machine is busy', async () => {
    const [maya, tomas] = [await here.chromium.person('Maya'), await here.chromium.person('Tomás')];
    await tomas.follow(await maya.open(here.server.url));
    await Promise.all([tomas.expectToSee('Maya'), maya.expectToSee('Tomás')]);
    for (let i = 0; i < 30; i++)
      hogs.push(spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }));
    await maya.page.waitForTimeout(20_000);
    for (const hog of hogs.splice(0)) hog.kill('SIGKILL');
    for (const person of [maya, tomas]) {
      expect(await person.page.getByRole('heading').count()).toBe(0);
      await person.expectWholeKey();
    }
    await Promise.all([tomas.expectToSeeMore('Maya'), maya.expectToSeeMore('Tomás')]);
  });
});
