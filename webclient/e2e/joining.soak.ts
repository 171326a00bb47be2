import { type ChildProcess, spawn } from 'node:child_process';
import { expect, it } from 'vitest';
import type { FromWorker } from '../src/e2ee/messages';
import { interval, patience } from './person';
import { place } from './place';
import { conclave } from './server';

// Somebody joins last, and what the time until they see the first picture consists of is measured.
// Its numbers depend on the machine: `npm run soak`.

const rounds = Number(process.env['ROUNDS'] ?? 5);
const settled = 2_500; // ms after the others are one group: they send in its epoch by then

type Step = 'click' | 'loaded' | 'connected' | 'member' | 'opened' | 'shown';
/** When a page saw each step first, in ms since 1970, which is one clock for all pages. */
type Seen = Partial<Record<Step | 'heard' | 'key frame asked for' | 'sent', number>>;

const here = place(['chromium']);

it.each([2, 4, 8])(
  'the last of %i is shown a picture',
  async (count) => {
    const rows: Record<string, number>[] = [];
    for (let round = 0; round < rounds; round++) {
      const maya = await here.chromium.person('Maya');
      await maya.page.addInitScript(watchSteps);
      const link = await maya.open(here.server.url);
      const others = count > 2 ? publish(link, count - 2) : undefined;
      await expect
        .poll(() => maya.page.getByRole('region').count(), { timeout: patience, interval })
        .toBe(count - 1);
      await maya.expectWholeKey();
      await maya.page.waitForTimeout(settled);
      await maya.page.evaluate(forgetSteps);

      const tomas = await here.chromium.person('Tomás');
      await tomas.page.addInitScript(watchSteps);
      await tomas.follow(link);
      await tomas.expectToSee('Maya');
      rows.push(since(await tomas.page.evaluate(steps), await maya.page.evaluate(steps)));
      others?.kill('SIGTERM');
      await here.chromium.clear();
    }
    // eslint-disable-next-line no-console -- the numbers are what it is run for
    console.log(count, JSON.stringify(medians(rows), undefined, 1));
  },
  900_000,
);

/** Native participants that send a picture: they leave the machine to the browser. */
function publish(link: string, count: number): ChildProcess {
  const args = ['--publishers', `${count}`, '--subscribers', '0', '--duration', '10m'];
  return spawn(conclave, ['loadtest', '--link', link, ...args], { stdio: 'ignore' });
}

/** When everything was, in ms after the click. */
function since(tomas: Seen, maya: Seen): Record<string, number> {
  const { click = NaN } = tomas;
  const theirs = Object.entries(maya).map(([step, at]) => [`Maya: ${step}`, at] as const);
  const all = [...Object.entries(tomas), ...theirs];
  return Object.fromEntries(all.map(([step, at]) => [step, at - click]));
}

/** Median and worst of each step, in the order in which they come. */
function medians(rows: Record<string, number>[]): Record<string, string> {
  const steps = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const spread = steps.map((step) => {
    const values = rows.flatMap((row) => row[step] ?? []).toSorted((a, b) => a - b);
    return { step, median: values[values.length >> 1] ?? NaN, worst: values.at(-1) };
  });
  const inOrder = spread.toSorted((a, b) => a.median - b.median);
  return Object.fromEntries(
    inOrder.map(({ step, median, worst }) => [step, `${median}, at most ${worst} ms`]),
  );
}

/** Runs in the page before its own code. */
function watchSteps(): void {
  const seen: Seen = {};
  Object.assign(globalThis, { joining: seen });
  const see = (step: keyof Seen): void => void (seen[step] ??= Date.now());
  addEventListener(
    'click',
    ({ target }) => (target as Element).textContent === 'Join' && see('click'),
    true,
  );
  const { Worker: PlainWorker, RTCPeerConnection: PlainConnection } = globalThis;
  globalThis.Worker = class extends PlainWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      this.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
        if (data.type === 'loaded') see('loaded');
        if (data.type === 'epoch') see('member');
        if (data.type === 'sending') see('sent');
        if (data.type === 'key-frame-wanted') see('key frame asked for');
        if (data.type === 'frames' && data.report.state === 'ok' && data.report.pid)
          see(data.report.source === 'mic' ? 'heard' : 'opened');
      });
    }
  };
  globalThis.RTCPeerConnection = class extends PlainConnection {
    constructor(config?: RTCConfiguration) {
      super(config);
      this.addEventListener(
        'connectionstatechange',
        () => this.connectionState === 'connected' && see('connected'),
      );
    }
  };
  setInterval(() => {
    const video = document.querySelector<HTMLVideoElement>('[aria-label="Maya"] video');
    if (video && video.getVideoPlaybackQuality().totalVideoFrames > 0) see('shown');
  }, 10);
}

function steps(): Seen {
  return (globalThis as unknown as { joining: Seen }).joining;
}

function forgetSteps(): void {
  const { joining: seen } = globalThis as unknown as { joining: Seen };
  for (const step of Object.keys(seen)) Reflect.deleteProperty(seen, step);
}
