import { mkdirSync } from 'node:fs';
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
function launch(engine: Engine, flags: string[]): Promise<Launched> {
  switch (engine) {
    case 'chromium':
      return chromium.launch({
        executablePath: process.env['CHROMIUM'] ?? '/usr/bin/chromium',
        args: [...chromiumFlags, ...flags],
      });
    case 'firefox':
      return firefox.launch({
        channel: 'moz-firefox', // BiDi, not Playwright's own build
        executablePath: process.env['FIREFOX'] ?? '/usr/bin/firefox-esr',
        firefoxUserPrefs: firefoxPrefs,
      });
  }
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

  static async start(engine: Engine = 'chromium', flags: string[] = []): Promise<Browser> {
    return new Browser(engine, await launch(engine, flags));
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
