import { execFileSync } from 'node:child_process';
import { afterEach, describe, expect, it } from 'vitest';
import { Browser, type Engine } from './browser';
import { keepHandles, openConnections } from './inpage';
import { Nat } from './nat';
import type { Person } from './person';
import { Server } from './server';

// `.ci/two-networks` makes a namespace with two ways to the server's; here is where it runs this.
const namespace = process.env['SERVER_NETNS'];
const address = process.env['SERVER_ADDRESS'] ?? '';
const where = namespace ? '' : ' (not run: there are no two networks, see .ci/two-networks)';
/** The first three numbers of each network's addresses; its route has a metric. */
const networks = { wifi: ['198.51.100', '100'], mobile: ['203.0.113', '200'] } as const;
const mediaPort = 3478;
const engines: Engine[] = ['chromium', 'firefox'];

function connect(network: keyof typeof networks): void {
  const [net, metric] = networks[network];
  execFileSync('ip', ['address', 'add', `${net}.2/24`, 'dev', network]);
  const route = ['default', 'via', `${net}.1`, 'dev', network, 'metric', metric];
  execFileSync('ip', ['route', 'add', ...route]);
}

/** Takes a network's address, and with it all routes by it. */
function disconnect(network: keyof typeof networks): void {
  execFileSync('ip', ['address', 'del', `${networks[network][0]}.2/24`, 'dev', network]);
}

/** Notes if somebody's tile goes, if only for a moment. */
function watchTile(name: string): void {
  const there = (): boolean =>
    document.querySelector(`[aria-label="${CSS.escape(name)}"]`) !== null;
  new MutationObserver(() => {
    if (!there()) Object.assign(globalThis, { missed: name });
  }).observe(document.body, { childList: true, subtree: true });
}

const missed = (): string | undefined => (globalThis as { missed?: string }).missed;

/** Has the page reach the media port by a NAT of the test's. */
function behindNat({ address, port }: { address: string; port: number }): void {
  window.RTCPeerConnection = class extends RTCPeerConnection {
    override setRemoteDescription({ type, sdp }: RTCSessionDescriptionInit): Promise<void> {
      const udp = /(a=candidate:\S+ \d+ udp \d+) \S+ \d+/gi;
      return super.setRemoteDescription({
        type,
        sdp: sdp?.replaceAll(udp, `$1 ${address} ${port}`) ?? '',
      });
    }
  };
}

describe.skipIf(!namespace).each(engines)(`In %s${where}`, (engine) => {
  const ends: ((failed?: string) => Promise<void> | void)[] = [];

  afterEach(async ({ task }) => {
    const failed = task.result?.state === 'fail' ? task.name : undefined;
    for (const end of ends.splice(0).reverse()) await end(failed);
  });

  /** Two people: Maya here, in the browser that is tried, Tomás where the server is. */
  async function people(): Promise<{ maya: Person; tomas: Person; url: string }> {
    const server = await Server.start({
      mediaAddress: address,
      flags: ['--listen', `${address}:0`, '--media-port', `${mediaPort}`],
      namespace,
    });
    ends.push(() => server.stop());
    const [here, there] = await Promise.all([
      Browser.start(engine, { secure: server.url }),
      Browser.start('chromium', { secure: server.url, namespace }),
    ]);
    for (const browser of [here, there])
      ends.push(async (failed) => {
        await browser.clear(failed);
        await browser.stop();
      });
    const maya = await here.person('Maya');
    await maya.page.addInitScript(keepHandles);
    return { maya, tomas: await there.person('Tomás'), url: server.url };
  }

  /** Something happens to Maya's network in their meeting: they go on in it as they are. */
  async function expectToStay(maya: Person, tomas: Person, happens: () => void): Promise<void> {
    const all = [maya, tomas];
    const together = (): Promise<unknown> =>
      Promise.all([
        ...[maya.expectToSee('Tomás'), tomas.expectToSee('Maya')],
        ...[maya.expectToHear(), tomas.expectToHear()],
        ...[maya.expectWholeKey(), tomas.expectWholeKey()],
      ]);
    await together();
    const epoch = await maya.safetyNumber();
    await tomas.page.evaluate(watchTile, 'Maya');
    await maya.page.evaluate(watchTile, 'Tomás');
    happens();
    for (const { page } of all) await page.evaluate(() => Object.assign(globalThis, { seen: {} })); // what is seen from now on
    await together();
    for (const { page } of all) expect(await page.evaluate(missed)).toBeUndefined();
    // A participant who comes anew is another leaf, which takes another epoch.
    for (const person of all) expect(await person.safetyNumber()).toBe(epoch);
    expect(await maya.page.evaluate(openConnections)).toBe(1);
  }

  it('who leaves the Wi-Fi goes on by the mobile network', async () => {
    const { maya, tomas, url } = await people();
    disconnect('mobile');
    ends.push(() => connect('wifi'));
    await tomas.follow(await maya.open(url));
    await expectToStay(maya, tomas, () => {
      disconnect('wifi');
      connect('mobile');
    });
  });

  it('whom a NAT gives another port goes on from there', async () => {
    const { maya, tomas, url } = await people();
    const nat = await Nat.start({ address, port: mediaPort });
    ends.push(() => nat.stop());
    await maya.page.addInitScript(behindNat, { address: `${networks.wifi[0]}.2`, port: nat.port });
    await tomas.follow(await maya.open(url));
    await expectToStay(maya, tomas, () => nat.rebind());
  });
});
