import { type ChildProcess, spawn } from 'node:child_process';
import type { Page } from 'playwright-core';
import { expect, it } from 'vitest';
import type { Engine } from './browser';
import { interval, patience } from './person';
import { place } from './place';
import { conclave, outerAddress } from './server';

// One video slot is switched to and fro between two people, as a change of view or of speaker does,
// and what becomes of the picture is measured. It takes a minute, and its numbers depend on the
// machine: `npm run soak`.

const switches = 50;
const pause = 700; // ms from the first frame of one to the switch to the other

/** What one page saw of one switch, in ms from the message that asked for it. */
interface Switch {
  /** The server's word that the slot carries the other one. */
  mapped: number;
  /** The worker's word that a frame of the other one was opened. */
  opened: number;
  /** The decoder's next frame after that. */
  decoded: number;
}

interface Decoding {
  framesDecoded: number;
  freezeCount: number;
  totalFreezesDuration: number;
  keyFramesDecoded: number;
  pliCount: number;
  nackCount: number;
  framesDropped: number;
}

const engines: Engine[] = outerAddress ? ['chromium', 'firefox'] : ['chromium'];
const here = place(engines, outerAddress ? { mediaAddress: outerAddress } : {});

it.each(engines)(
  'a slot in %s is switched fifty times',
  async (engine) => {
    const aiko = await here[engine].person('Aiko');
    await oneSlot(aiko.page);
    await aiko.page.addInitScript(takeView);
    const publishers = publish(await aiko.open(here.server.url));
    await expect
      .poll(() => aiko.page.evaluate(sendersSeen), { timeout: patience, interval })
      .toBe(2);

    const seen: Switch[] = [];
    for (let i = 0; i < switches; i++) {
      seen.push(await aiko.page.evaluate(switchView, 30_000));
      await aiko.page.waitForTimeout(pause);
    }
    const decoding = await aiko.page.evaluate(videoDecoding);
    publishers.kill('SIGTERM');

    // eslint-disable-next-line no-console -- the numbers are what it is run for
    console.log(engine, JSON.stringify(summary(seen)), JSON.stringify(decoding));
    expect(seen.filter(({ decoded }) => !Number.isFinite(decoded))).toEqual([]);
  },
  600_000,
);

/** Two native participants that send a picture: they leave the machine to the browser. */
function publish(link: string): ChildProcess {
  const args = ['--publishers', '2', '--subscribers', '0', '--duration', '10m'];
  return spawn(conclave, ['loadtest', '--link', link, ...args], { stdio: 'ignore' });
}

function summary(seen: Switch[]): Record<string, string> {
  const spread = (values: number[]): string => {
    const sorted = values.toSorted((a, b) => a - b).map(Math.round);
    return `p50 ${sorted[sorted.length >> 1]} p90 ${sorted[Math.floor(sorted.length * 0.9)]} max ${sorted.at(-1)} ms`;
  };
  return {
    mapped: spread(seen.map(({ mapped }) => mapped)),
    opened: spread(seen.map(({ opened }) => opened)),
    decoded: spread(seen.map(({ decoded }) => decoded)),
  };
}

/** Gives the page's pool of slots one place for a picture, however many are in the meeting. */
async function oneSlot(page: Page): Promise<void> {
  await page.route('**/assets/index-*.js', async (route) => {
    const response = await route.fetch();
    const pools = '[4,9,16,25,36,49,64,81,100]';
    const text = await response.text();
    expect(text).toContain(pools);
    const headers = { ...response.headers() };
    delete headers['content-encoding'];
    delete headers['content-length'];
    await route.fulfill({ response, headers, body: text.replace(pools, '[1]') });
  });
}

/** What `takeView` leaves in the page. */
interface Held {
  socket?: WebSocket;
  tell?: (message: string) => void;
  others: string[];
  connections: RTCPeerConnection[];
  /** Whom the one slot shows: by the server's word, and by the keys. */
  said?: string;
  shown?: string;
}

/** Runs in the page before its own code: the view is asked for by the test from now on. */
function takeView(): void {
  const held: Held = { others: [], connections: [] };
  Object.assign(globalThis, { held });
  const {
    Worker: PlainWorker,
    RTCPeerConnection: PlainConnection,
    WebSocket: PlainSocket,
  } = globalThis;
  globalThis.WebSocket = class extends PlainSocket {
    constructor(url: string | URL, protocols?: string | string[]) {
      super(url, protocols);
      held.tell = (message) => super.send(message);
      this.addEventListener('message', ({ data }: MessageEvent<string>) => {
        const message = JSON.parse(data) as {
          type: string;
          body: { slots: { pid: string; source: string }[] };
        };
        if (message.type !== 'slots') return;
        const said = message.body.slots.find(({ source }) => source === 'camera');
        if (said) held.said = said.pid;
      });
    }
    override send(data: string): void {
      const { type, body } = JSON.parse(data) as {
        type: string;
        body: { wants: { pid: string }[] };
      };
      if (type !== 'view') return super.send(data);
      held.others = body.wants.map(({ pid }) => pid);
    }
  };
  globalThis.Worker = class extends PlainWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      this.addEventListener('message', ({ data }: MessageEvent<unknown>) => {
        const { type, report } = data as {
          type: string;
          report: { source?: string; pid?: string };
        };
        if (type === 'frames' && report.source === 'camera' && report.pid) held.shown = report.pid;
      });
    }
  };
  globalThis.RTCPeerConnection = class extends PlainConnection {
    constructor(config?: RTCConfiguration) {
      super(config);
      held.connections.push(this);
    }
  };
}

function sendersSeen(): number {
  return (globalThis as unknown as { held: Held }).held.others.length;
}

/** Asks for the one who is not shown, and waits until their picture is decoded. */
async function switchView(limit: number): Promise<Switch> {
  const { held } = globalThis as unknown as { held: Held };
  const decoded = async (): Promise<number> => {
    let frames = 0;
    for (const connection of held.connections)
      (await connection.getStats()).forEach((s: RTCInboundRtpStreamStats) => {
        if (s.type === 'inbound-rtp' && s.kind === 'video') frames += s.framesDecoded ?? 0;
      });
    return frames;
  };
  const began = performance.now();
  const since = (): number => performance.now() - began;
  const until = async (holds: () => boolean | Promise<boolean>): Promise<number> => {
    while (!(await holds())) {
      if (since() > limit) return Infinity;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return since();
  };
  const next = held.others.find((pid) => pid !== held.shown)!;
  const wants = [{ pid: next, source: 'camera', width: 640, height: 360 }];
  held.tell?.(JSON.stringify({ type: 'view', body: { wants } }));
  const mapped = await until(() => held.said === next);
  const opened = await until(() => held.shown === next);
  const before = await decoded();
  return { mapped, opened, decoded: await until(async () => (await decoded()) > before) };
}

async function videoDecoding(): Promise<Decoding> {
  const { held } = globalThis as unknown as { held: Held };
  const sum: Record<string, number> = {};
  const names = ['framesDecoded', 'keyFramesDecoded', 'framesDropped', 'freezeCount'];
  names.push('totalFreezesDuration', 'pliCount', 'nackCount');
  for (const connection of held.connections)
    (await connection.getStats()).forEach((s: Record<string, unknown>) => {
      if (s['type'] !== 'inbound-rtp' || s['kind'] !== 'video') return;
      for (const name of names) sum[name] = (sum[name] ?? 0) + (Number(s[name]) || 0);
    });
  return sum as unknown as Decoding;
}
