import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Browser as Launched, chromium, firefox } from 'playwright-core';
import { useCamera } from './inpage';
import { patience, Person } from './person';

export type Engine = 'chromium' | 'firefox';

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

const firefoxPrefs = {
  'media.navigator.streams.fake': true,
  'media.navigator.permission.disabled': true,
  'media.autoplay.default': 0, // allowed
  'media.cubeb.force_mock_context': true, // or no AudioContext runs where there is no sound device
};

/**
 * Starts a browser as the system has it. Firefox is driven over WebDriver BiDi; playwright-core after
 * 1.64 opens each context with a command that Firefox ESR 153 does not know
 * (emulation.setMediaFeaturesOverride).
 */
function launch(engine: Engine, { flags, secure, namespace }: Options): Promise<Launched> {
  switch (engine) {
    case 'chromium':
      return chromium.launch({
        timeout: patience,
        executablePath: enter(namespace, process.env['CHROMIUM'] ?? '/usr/bin/chromium'),
        args: [
          ...chromiumFlags,
          ...(secure ? [`--unsafely-treat-insecure-origin-as-secure=${secure}`] : []),
          ...(flags ?? []),
        ],
      });
    case 'firefox':
      return firefox.launch({
        timeout: patience,
        channel: 'moz-firefox', // BiDi, not Playwright's own build
        executablePath: process.env['FIREFOX'] ?? '/usr/bin/firefox-esr',
        firefoxUserPrefs: {
          ...firefoxPrefs,
          ...(secure ? { 'dom.securecontext.allowlist': new URL(secure).hostname } : {}),
        },
      });
  }
}

interface Options {
  flags?: string[];
  /** An origin without TLS that is to be a secure context all the same. */
  secure?: string;
  /** The file of the network namespace in which it runs: Chromium alone, which is driven by a pipe. */
  namespace?: string | undefined;
}

/** A program that runs another one in a network namespace. */
function enter(namespace: string | undefined, program: string): string {
  if (!namespace) return program;
  const script = join(mkdtempSync(join(tmpdir(), 'conclave-e2e-')), 'run');
  writeFileSync(script, `#!/bin/sh\nexec nsenter --net=${namespace} ${program} "$@"\n`, {
    mode: 0o700,
  });
  return script;
}

// A test machine encodes and draws without a GPU: a small, slow picture shows as much.
const smallWindow = { width: 800, height: 600 };
const smallCamera = { width: 320, height: 180, frameRate: 10 };

/** A browser and the people at it; each has a profile of their own. */
export class Browser {
  private readonly people: Person[] = [];

  private constructor(
    private readonly engine: Engine,
    private readonly launched: Launched,
  ) {}

  static async start(engine: Engine = 'chromium', options: Options = {}): Promise<Browser> {
    return new Browser(engine, await launch(engine, options));
  }

  async person(name: string, { window = smallWindow, camera = smallCamera } = {}): Promise<Person> {
    const context = await this.launched.newContext({
      viewport: window,
      ...(this.engine === 'chromium' ? { permissions: ['camera', 'microphone'] } : {}),
    });
    context.setDefaultTimeout(patience);
    await context.addInitScript(useCamera, camera);
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
