import type { Encryption } from './ports';

/**
 * A worker that loads before it is wanted: some megabytes of code come, and are compiled, while the
 * user is still at the page before the call. It holds no key until a call configures it.
 */
export class Spare {
  readonly #start: () => Promise<Encryption>;
  #next: Promise<Encryption> | undefined;

  constructor(start: () => Promise<Encryption>) {
    this.#start = start;
  }

  /** Begins to load one, if there is none. */
  load(): void {
    if (this.#next) return;
    const next = this.#start();
    this.#next = next;
    const forget = (): void => {
      if (this.#next === next) this.#next = undefined;
    };
    next.then((encryption) => encryption.on('fatal', forget), forget);
  }

  /** The one that was loaded, or a new one. Each is given once. */
  take(): Promise<Encryption> {
    const next = this.#next;
    this.#next = undefined;
    return next ? next.catch(this.#start) : this.#start();
  }
}
