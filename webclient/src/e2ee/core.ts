import './generated/wasm_exec.js';
import wasmURL from './generated/conclave.wasm?url';
import type { Entry } from '../signal/generated';
import type { KeyBytes } from './ring';
import {
  E2EEError,
  type EntryRefused,
  type Epoch,
  type EpochStarted,
  type FrameCode,
  type Post,
  type Status,
} from './types';

/** The inputs of the Go package e2ee/wasm/bridge. */
export type Input =
  | { type: 'log-opened'; logId: string; head: number }
  | { type: 'log-entry'; entry: Entry }
  | { type: 'posted'; seq: number; code?: string }
  | { type: 'tick' };

/** The outputs of the Go package e2ee/wasm/bridge. */
export type Output =
  | { type: 'post'; post: Post }
  | ({ type: 'epoch-started'; removed: number[] } & EpochStarted)
  | { type: 'send-epoch'; epoch: Epoch }
  | { type: 'epoch-ended'; epoch: Epoch }
  | ({ type: 'status' } & Status)
  | ({ type: 'entry-refused' } & EntryRefused);

interface Failure {
  code: string;
  message: string;
  fatal?: boolean;
}

/** What e2ee/wasm/main.go exports. */
interface Exports {
  create(config: string): object | Failure;
  step(now: number, input: string): object | Failure;
  poll(): { output?: string } | Failure;
  deadline(): { at: number } | Failure;
  keyFor(
    kid: number,
  ):
    | (Omit<KeyBytes, 'epoch'> & { generation: number; number: number })
    | (Failure & { code: FrameCode });
}

interface GoRuntime {
  importObject: WebAssembly.Imports;
  run(instance: WebAssembly.Instance): Promise<void>;
}

declare const globalThis: {
  Go: new () => GoRuntime;
  fs: { writeSync: (fd: number, bytes: Uint8Array) => number };
  conclaveReady: (exports: Exports) => void;
};

/** The Go core: package e2ee and its ring, compiled to WebAssembly. */
export class Core {
  readonly #exports: Exports;

  private constructor(exports: Exports) {
    this.#exports = exports;
  }

  /** Loads and starts the core. onExit is told if it ever ends, which it must not. */
  static async load(onExit: () => void): Promise<Core> {
    globalThis.fs.writeSync = (_, bytes) => bytes.length; // what a Go program prints stays unsaid
    const go = new globalThis.Go();
    const { instance } = await WebAssembly.instantiateStreaming(fetch(wasmURL), go.importObject);
    const ready = new Promise<Exports>((resolve) => (globalThis.conclaveReady = resolve));
    const ended = go.run(instance).then(onExit, onExit);
    const exports = await Promise.race([ready, ended]);
    if (!exports) throw new E2EEError('core_failed', 'The encryption core did not start.');
    return new Core(exports);
  }

  /** Makes the session. Every method throws an E2EEError; keyFor returns why there is no key. */
  create(config: { link: string; pid: string; name: string }): void {
    check(this.#exports.create(JSON.stringify(config)));
  }

  step(now: number, input: Input): void {
    check(this.#exports.step(now, JSON.stringify(input)));
  }

  /** The next output; undefined if there is none until the next step. */
  poll(): Output | undefined {
    const { output } = check(this.#exports.poll());
    return output === undefined ? undefined : (JSON.parse(output) as Output);
  }

  /** When a tick is due, in milliseconds since the Unix epoch; 0 if none is. */
  deadline(): number {
    return check(this.#exports.deadline()).at;
  }

  keyFor(kid: number): KeyBytes | FrameCode {
    const got = this.#exports.keyFor(kid);
    if ('key' in got) {
      const { key, salt, generation, number } = got;
      return { key, salt, epoch: { generation, number } };
    }
    if (got.code !== 'missing_key' && got.code !== 'removed') check(got);
    return got.code;
  }
}

function check<T extends object>(answer: T | Failure): T {
  if (!('code' in answer)) return answer;
  throw new E2EEError(answer.fatal ? 'core_failed' : answer.code, answer.message);
}
