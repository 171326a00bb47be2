import { afterAll, afterEach, beforeAll } from 'vitest';
import { Browser, type Engine } from './browser';
import { Server, type ServerOptions } from './server';

/** A server, and a browser of each engine that was asked for. */
type Place<E extends Engine> = { server: Server } & Record<E, Browser>;

/**
 * Where the tests of a file, or of a `describe`, meet: it is there before the first of them and until
 * after the last. The windows that a test has opened are closed after it; of one that failed, their
 * pictures stay.
 */
export function place<E extends Engine>(engines: E[], options?: ServerOptions): Place<E> {
  const made = {} as Place<E>; // its parts are there once a test runs
  const browsers = (): Browser[] => engines.map((engine) => made[engine]);

  beforeAll(async () => {
    const [server, ...launched] = await Promise.all([
      Server.start(options),
      ...engines.map((engine) => Browser.start(engine)),
    ]);
    Object.assign(made, { server });
    engines.forEach((engine, i) => Object.assign(made, { [engine]: launched[i] }));
  });

  afterEach(async ({ task }) => {
    const failed = task.result?.state === 'fail' ? task.name : undefined;
    await Promise.all(browsers().map((browser) => browser.clear(failed)));
  });

  afterAll(async () => {
    await Promise.all(browsers().map((browser) => browser.stop()));
    await made.server.stop();
  });

  return made;
}
