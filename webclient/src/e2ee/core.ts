import './generated/wasm_exec.js';
import wasmURL from './generated/conclave.wasm?url';
import type { KeyBytes } from './ring';
import { E2EEError, type FrameCode } from './types';
import {
  type Bytes,
  type Config,
  decodeOutput,
  encodeConfig,
  encodeInput,
  type Input,
  type Output,
} from './wire';

interface Failure {
  code: string;
  message: string;
  fatal?: boolean;
}

/** What e2ee/wasm/main.go exports. */
interface Exports {
  create(config: Bytes): object | Failure;
  step(now: number, input: Bytes): object | Failure;
  poll(): { output?: Bytes } | Failure;
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
  create(config: Config): void {
    check(this.#exports.create(encodeConfig(config)));
  }

  step(now: number, input: Input): void {
    check(this.#exports.step(now, encodeInput(input)));
  }

  /** The next output; undefined if there is none until the next step. */
  poll(): Output | undefined {
    const { output } = check(this.#exports.poll());
    return output === undefined ? undefined : decodeOutput(output);
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
