import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { type BrowserContext, chromium, type Page } from 'playwright-core';
import { expect } from 'vitest';

/** How long a condition may take to come, in ms. It usually takes a tenth of that. */
export const patience = 90_000;

/** The program that an environment variable names, or the one of this name in bin. */
function program(variable: string, name: string): string {
  return resolve(import.meta.dirname, '..', process.env[variable] ?? `../bin/${name}`);
}

export const conclave = program('CONCLAVE_BIN', 'conclave');
export const conclaveTap = program('CONCLAVE_TAP_BIN', 'conclave-tap');
const interval = 250; // ms between two looks at a condition; more often keeps a slow page from its work

const results = resolve(import.meta.dirname, '../test-results');

const chromiumFlags = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--use-fake-device-for-media-stream',
  '--use-fake-ui-for-media-stream',
  '--autoplay-policy=no-user-gesture-required',
  // Without it there is no loopback candidate.
  '--allow-loopback-in-peer-connection',
];

/** A server on ports that the kernel chose. */
export class Server {
  private constructor(
    private readonly process: ChildProcess,
    readonly url: string,
  ) {}

  static async start(binary = conclave, ...flags: string[]): Promise<Server> {
    if (!existsSync(binary)) throw new Error(`${binary} is missing: run make build first`);
    const args = ['serve', '--listen', '127.0.0.1:0', '--media-port', '0'];
    const child = spawn(binary, [...args, '--node-ip', '127.0.0.1', ...flags], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    // Ready when it has printed one line with its URL.
    for await (const line of createInterface({ input: child.stdout })) {
      const url = /http:\/\/\S+/.exec(line)?.[0];
      if (url) return new Server(child, url);
    }
    throw new Error('the server ended before it was ready');
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.kill('SIGTERM');
    await ended;
  }
}

/** Somebody with a browser window of their own. */
class Person {
  /** What the page should not have said: errors, refused requests. */
  readonly complaints: string[] = [];

  private constructor(
    readonly name: string,
    readonly page: Page,
  ) {
    page.on('pageerror', (error) => this.complaints.push(`error: ${error.message}`));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type()))
        this.complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on('request', (request) => {
      if (!['http:', 'https:', 'ws:', 'blob:', 'data:'].includes(new URL(request.url()).protocol))
        this.complaints.push(`request: ${request.url()}`);
    });
  }

  static async arrive(name: string, context: BrowserContext): Promise<Person> {
    return new Person(name, await context.newPage());
  }

  button(name: string) {
    return this.page.getByRole('button', { name, exact: true });
  }

  tile(name: string) {
    return this.page.getByRole('region', { name, exact: true });
  }

  /** Opens a new meeting and gives its link. */
  async open(url: string): Promise<string> {
    await this.page.goto(url);
    await this.button('New meeting').click();
    await this.enter();
    return this.page.url();
  }

  async follow(link: string): Promise<void> {
    await this.page.goto(link);
    await this.enter();
  }

  private async enter(): Promise<void> {
    await this.page.getByRole('textbox', { name: 'Your name' }).fill(this.name);
    await this.button('Join').click();
    await this.tile(this.name).waitFor();
  }

  /** Waits until the roster, as tiles, is this. */
  async expectTiles(...names: string[]): Promise<void> {
    await expect
      .poll(() => this.page.getByRole('region').evaluateAll(labels), {
        timeout: patience,
        interval,
      })
      .toEqual(expect.arrayContaining(names));
    await expect
      .poll(() => this.page.getByRole('region').count(), { timeout: patience, interval })
      .toBe(names.length);
  }

  /** Waits until the key in the corner is whole: one epoch for all, and everything shown opens. */
  async expectWholeKey(): Promise<void> {
    await expect
      .poll(() => this.button('Encryption').getAttribute('data-mark'), {
        timeout: patience,
        interval,
      })
      .toBe('whole');
  }

  /** Waits until this member's tile shows a picture that is not black and moves. */
  async expectToSee(name: string): Promise<void> {
    await expect
      .poll(() => this.page.evaluate(pixelChanges, name), { timeout: patience, interval })
      .toBeGreaterThanOrEqual(5);
  }

  /** Waits until something is heard. */
  async expectToHear(): Promise<void> {
    await expect
      .poll(() => this.page.evaluate(loudness), { timeout: patience, interval })
      .toBeGreaterThan(0.01);
  }

  async expectSilence(): Promise<void> {
    await expect
      .poll(() => this.page.evaluate(loudness), { timeout: patience, interval })
      .toBeLessThan(1e-4);
  }

  /** The safety number of the epoch that the page is in now. */
  async safetyNumber(): Promise<string> {
    await this.button('Safety number').click();
    const number = await this.page.getByTestId('safety-number').innerText();
    await this.button('Close').click();
    expect(number).toMatch(/^(\d{5} ){5}\d{5}$/);
    return number;
  }
}

/** A browser and the people at it; each has a profile of their own. */
export class Browser {
  private readonly people: Person[] = [];

  private constructor(private readonly launched: Awaited<ReturnType<typeof chromium.launch>>) {}

  static async start(): Promise<Browser> {
    const executablePath = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
    return new Browser(await chromium.launch({ executablePath, args: chromiumFlags }));
  }

  async person(name: string): Promise<Person> {
    const context = await this.launched.newContext({
      viewport: { width: 800, height: 600 },
      permissions: ['camera', 'microphone', 'clipboard-read', 'clipboard-write'],
    });
    context.setDefaultTimeout(patience);
    await context.addInitScript(useSmallCamera);
    const person = await Person.arrive(name, context);
    this.people.push(person);
    return person;
  }

  /** Closes all windows; of a test that failed, their pictures stay in test-results. */
  async clear(failedTest?: string): Promise<void> {
    for (const person of this.people.splice(0)) {
      if (failedTest && !person.page.isClosed()) await keepPicture(person, failedTest);
      await person.page.context().close();
    }
  }

  async stop(): Promise<void> {
    await this.launched.close();
  }
}

async function keepPicture({ name, page }: Person, test: string): Promise<void> {
  mkdirSync(results, { recursive: true });
  const file = `${test}-${name}.png`.replaceAll(/[^\w.-]+/g, '-');
  await page.screenshot({ path: join(results, file) }).catch(() => undefined);
}

// What follows runs in the page. The client's policy forbids eval, so nothing there may need it.

/** A test machine encodes and draws without a GPU: a small, slow picture shows as much. */
function useSmallCamera(): void {
  if (!('mediaDevices' in navigator)) return;
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (wanted) =>
    open(wanted?.video ? { ...wanted, video: { width: 320, height: 180, frameRate: 10 } } : wanted);
}

function labels(elements: Element[]): (string | null)[] {
  return elements.map((element) => element.getAttribute('aria-label'));
}

/** How often the picture in a tile has changed, over all calls so far. */
function pixelChanges(name: string): number {
  interface Seen {
    pixels: string;
    changes: number;
  }
  const memory = globalThis as { seen?: Record<string, Seen> };
  const seen = (memory.seen ??= {});
  const before = (seen[name] ??= { pixels: '', changes: 0 });
  const video = document.querySelector<HTMLVideoElement>(
    `[aria-label="${CSS.escape(name)}"] video`,
  );
  if (!video || video.videoWidth === 0) return before.changes;
  const canvas = new OffscreenCanvas(32, 18);
  const context = canvas.getContext('2d');
  if (!context) return before.changes;
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const lit = data.some((value, i) => i % 4 !== 3 && value > 40);
  const pixels = data.join();
  if (lit && pixels !== before.pixels) seen[name] = { pixels, changes: before.changes + 1 };
  return before.changes;
}

/** The loudest sample of the last 0.7 s over all that the page plays; the fake devices beep twice a second. */
function loudness(): number {
  const memory = globalThis as { ears?: { heard: Set<MediaStream>; node: AnalyserNode } };
  memory.ears ??= {
    heard: new Set(),
    node: new AnalyserNode(new AudioContext(), { fftSize: 32768 }),
  };
  const { heard, node } = memory.ears;
  for (const { srcObject } of document.querySelectorAll('audio')) {
    if (!(srcObject instanceof MediaStream) || heard.has(srcObject)) continue;
    heard.add(srcObject);
    (node.context as AudioContext).createMediaStreamSource(srcObject).connect(node);
  }
  const samples = new Float32Array(node.fftSize);
  node.getFloatTimeDomainData(samples);
  return samples.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0);
}
