import { createServer, type AddressInfo } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { Browser } from './browser';
import { Server } from './server';

let server: Server | undefined;
let browser: Browser | undefined;

afterEach(async ({ task }) => {
  await browser?.clear(task.result?.state === 'fail' ? task.name : undefined);
  await browser?.stop();
  await server?.stop();
  browser = server = undefined;
});

/** Has the page hear of no way to the server by UDP, as if a firewall dropped it. */
function withoutUDP(): void {
  window.RTCPeerConnection = class extends RTCPeerConnection {
    override setRemoteDescription({ type, sdp }: RTCSessionDescriptionInit): Promise<void> {
      const udp = /a=candidate:\S+ \d+ udp [^\r\n]*\r\n/gi;
      return super.setRemoteDescription({ type, sdp: sdp?.replaceAll(udp, '') ?? '' });
    }
  };
}

/** A TCP port that was free a moment ago. */
async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

async function expectMeeting(url: string, browser: Browser, before?: () => void): Promise<void> {
  const maya = await browser.person('Maya');
  const tomas = await browser.person('Tomás');
  if (before) await Promise.all([maya, tomas].map(({ page }) => page.addInitScript(before)));
  await tomas.follow(await maya.open(url));
  await Promise.all([maya.expectToSee('Tomás'), tomas.expectToSee('Maya')]);
  await Promise.all([maya.expectToHear(), tomas.expectToHear()]);
}

/** What the server counts under this name now. */
async function count(admin: number, name: string): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${admin}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(page)?.[1]);
}

it('two people meet where no UDP goes out, by media over TCP', async () => {
  const [media, admin] = [await freePort(), await freePort()];
  server = await Server.start({
    flags: ['--media-tcp-port', `${media}`, '--admin', `127.0.0.1:${admin}`, '--no-turn'],
  });
  browser = await Browser.start('chromium');
  await expectMeeting(server.url, browser, withoutUDP);
  expect(await count(admin, 'conclave_media_tcp_streams')).toBeGreaterThanOrEqual(2);
});

it('two people meet by the relay alone', async () => {
  const [pages, media, admin] = [await freePort(), await freePort(), await freePort()];
  server = await Server.start({
    // Nobody else reaches the address that answers name.
    mediaAddress: '203.0.113.99',
    flags: [
      ...['--listen', `127.0.0.1:${pages}`, '--public-url', `http://127.0.0.1:${pages}`],
      ...['--media-tcp-port', `${media}`, '--admin', `127.0.0.1:${admin}`],
    ],
  });
  browser = await Browser.start('chromium');
  await expectMeeting(server.url, browser);
  expect(await count(admin, 'conclave_turn_received_bytes_total')).toBeGreaterThan(10_000);
});
