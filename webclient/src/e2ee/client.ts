import type { Entry } from '../signal/generated';
import type { FromWorker, ToWorker, TransformOptions, TransformReport } from './messages';
import { type EncodedStreams, supported } from './support';
import {
  E2EEError,
  type EntryRefused,
  type Epoch,
  type EpochStarted,
  type Fatal,
  type Frames,
  type Given,
  type Kind,
  kindOf,
  type Post,
  type Source,
  type Status,
} from './types';

interface Events {
  /** To be sent to the room; answered by `posted`. */
  post: Post;
  /** The group is in a new epoch. */
  epoch: EpochStarted;
  /** Frames are sealed under this epoch from now on. */
  sending: { epoch: Epoch };
  status: Status;
  /** An entry of the log is not valid and was skipped. */
  refused: EntryRefused;
  /** What one transform has done; at changes and about twice a second while frames pass. */
  frames: Frames;
  /** Whether the worker answers. While it does not, nothing passes. */
  answering: boolean;
  /** Nothing passes any more. The one way on is to stop and to join anew. */
  fatal: Fatal;
}

/** A receiver's mid, or how to learn it: before the first offer it has none. */
type Mid = string | (() => string | null);

const attachPatience = 5_000; // ms, after which the worker is asked for a transform
const beatEvery = 3_000; // ms
const missedBeats = 2; // in a row until it is told; no browser says whether the worker is dead or busy
const beatID = 0; // of no transform

type Target = RTCRtpSender | RTCRtpReceiver;

interface Attached {
  /** Undefined once the connection has dropped it. */
  target: WeakRef<Target>;
  report(report: TransformReport): Frames;
  resolve: () => void;
  reject: (reason: E2EEError) => void;
}

const noTransform = (): E2EEError => new E2EEError('no_transform', 'There is no such transform.');

interface Deferred<T = void> {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (reason: E2EEError) => void;
}

function defer<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: E2EEError) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.catch(() => undefined); // whoever awaits it is told; it need not be awaited
  return { promise, resolve, reject };
}

/**
 * The page's side of the end-to-end encryption: a worker that holds all keys, and the transforms
 * that run in it. It fails closed: after `fatal` or `stop` no frame passes, and no transform is
 * ever taken off a sender.
 */
export class E2EE {
  /** Resolved once the worker has keys to send with; rejected if it stops before. */
  readonly ready: Promise<void>;

  readonly #worker: Worker;
  readonly #loaded = defer();
  readonly #ready = defer();
  readonly #attached = new Map<number, Attached>();
  readonly #transforms = new WeakMap<Target, RTCRtpScriptTransform>();
  /** The last question of each transform's count, by its id. */
  readonly #counts = new Map<number, Deferred<Given>>();
  readonly #handlers = new Map<keyof Events, Set<(event: never) => void>>();
  #configured: Deferred | undefined;
  #stopped: E2EEError | undefined;
  #lastID = beatID;
  #heart: ReturnType<typeof setInterval> | undefined;
  #missed = 0;

  private constructor(worker: Worker) {
    this.#worker = worker;
    this.ready = this.#ready.promise;
    worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    worker.onmessageerror = () => this.#fail('worker_failed', 'A message could not be read.');
    worker.onerror = () => this.#fail('worker_failed', 'The encryption worker failed.');
  }

  /** Starts the worker and loads its code, however long that takes. It rejects with an E2EEError. */
  static async start(): Promise<E2EE> {
    if (supported() === undefined) {
      throw new E2EEError('unsupported', 'This browser cannot encrypt calls end to end.');
    }
    const e2ee = new E2EE(
      new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'e2ee' }),
    );
    await e2ee.#loaded.promise;
    e2ee.#heart = setInterval(() => e2ee.#beat(), beatEvery);
    return e2ee;
  }

  /** Tells of a worker that does not answer: nothing passes it, and the user must know. */
  #beat(): void {
    if (this.#missed++ === missedBeats) this.#emit('answering', false);
    if (this.#missed === 1) this.#send({ type: 'count', id: beatID });
  }

  #answered(): void {
    if (this.#missed > missedBeats) this.#emit('answering', true);
    this.#missed = 0;
  }

  /** Makes the session, once. It rejects with an E2EEError: bad_link, bad_name, bad_pid. */
  configure(opts: { link: string; pid: string; name: string }): Promise<void> {
    if (this.#stopped) return Promise.reject(this.#stopped);
    if (this.#configured) return Promise.reject(new E2EEError('configured', 'Configured already.'));
    this.#configured = defer();
    this.#send({ type: 'configure', link: opts.link, pid: opts.pid, name: opts.name });
    return this.#configured.promise;
  }

  /** The connection has this log (its id in base64), whose last entry is at position head. */
  logOpened(logId: string, head = 0): void {
    this.#send({ type: 'log-opened', logId, head });
  }

  /** The next entries of the log. */
  logEntries(entries: Entry[]): void {
    this.#send({ type: 'log-entries', entries });
  }

  /** The room's answer to a post: without a code it was appended. */
  posted(seq: number, code?: string): void {
    this.#send({ type: 'posted', seq, ...(code === undefined ? {} : { code }) });
  }

  /** Returns how to end the subscription. */
  on<K extends keyof Events>(event: K, handler: (event: Events[K]) => void): () => void {
    const handlers = this.#handlers.get(event) ?? new Set();
    this.#handlers.set(event, handlers);
    handlers.add(handler);
    return () => void handlers.delete(handler);
  }

  /**
   * Puts the transform on a sender, which must have no track yet and must have been made in the
   * same task. Resolved when the transform runs in the worker: only then give it a track.
   * codec is a MIME type for frames that do not name theirs.
   */
  attachSender(sender: RTCRtpSender, source: Source, codec?: string): Promise<void> {
    const kind = kindOf(source);
    return this.#attach(
      sender,
      { id: ++this.#lastID, direction: 'send', source, kind, ...(codec ? { codec } : {}) },
      ({ state, frames, failed }) => ({ direction: 'send', source, kind, state, frames, failed }),
    );
  }

  /** Puts the transform on a receiver, in the task that made its transceiver. */
  attachReceiver(receiver: RTCRtpReceiver, mid: Mid, kind: Kind): Promise<void> {
    return this.#attach(receiver, { id: ++this.#lastID, direction: 'receive', kind }, (report) => ({
      direction: 'receive',
      mid: (typeof mid === 'string' ? mid : mid()) ?? '',
      kind,
      state: report.state,
      frames: report.frames,
      failed: report.failed,
      ...(report.pid === undefined ? {} : { pid: report.pid }),
      ...(report.source === undefined ? {} : { source: report.source }),
    }));
  }

  /**
   * What a sender's transform was given so far, by the worker's own word, whenever that comes. It
   * rejects with an E2EEError if there is no transform: it never started, or its streams have ended.
   */
  given(sender: RTCRtpSender): Promise<Given> {
    const id = [...this.#attached].find(([, { target }]) => target.deref() === sender)?.[0];
    return id === undefined ? Promise.reject(noTransform()) : this.#ask(id);
  }

  #ask(id: number): Promise<Given> {
    if (this.#stopped) return Promise.reject(this.#stopped);
    const asked = this.#counts.get(id);
    if (asked) return asked.promise;
    const answer = defer<Given>();
    this.#counts.set(id, answer);
    this.#send({ type: 'count', id });
    return answer.promise;
  }

  /**
   * Whether a sender has the transform that it was given here. Firefox sends in clear once it is
   * taken off, even if the worker is dead. Streams of the older API cannot be taken off.
   */
  intact(sender: RTCRtpSender): boolean {
    if (supported() !== 'script-transform') return true;
    const transform = this.#transforms.get(sender);
    return transform !== undefined && sender.transform === transform;
  }

  /** Ends the worker: keys are gone, and no frame passes the transforms any more. */
  stop(): void {
    this.#end(new E2EEError('stopped', 'The encryption was stopped.'));
  }

  #attach(
    target: Target,
    options: TransformOptions,
    report: (report: TransformReport) => Frames,
  ): Promise<void> {
    // Even a worker that has stopped is put in between: its transform lets nothing pass.
    const done = defer();
    // Late is a transform that a worker, asked now, does not know, not one of a worker that is busy.
    const timer = setTimeout(() => this.#ask(options.id).catch(done.reject), attachPatience);
    done.promise.finally(() => clearTimeout(timer)).catch(() => undefined);
    this.#attached.set(options.id, {
      target: new WeakRef(target),
      report,
      resolve: done.resolve,
      reject: done.reject,
    });
    if (supported() === 'script-transform') {
      const transform = new RTCRtpScriptTransform(this.#worker, options);
      target.transform = transform;
      this.#transforms.set(target, transform);
    } else {
      this.#transferStreams(target, options);
    }
    if (this.#stopped) done.reject(this.#stopped);
    return done.promise;
  }

  #transferStreams(target: Target, options: TransformOptions): void {
    const streams = (target as EncodedStreams).createEncodedStreams?.();
    if (!streams) throw new E2EEError('unsupported', 'This sender or receiver has no streams.');
    const { readable, writable } = streams;
    this.#worker.postMessage({ type: 'streams', options, readable, writable } satisfies ToWorker, [
      readable,
      writable,
    ]);
  }

  #receive(message: FromWorker): void {
    if (this.#stopped) return;
    switch (message.type) {
      case 'loaded':
        return this.#loaded.resolve();
      case 'configured':
        return this.#configured?.resolve();
      case 'refused-config':
        this.#configured?.reject(new E2EEError(message.code, message.message));
        this.#configured = undefined;
        return;
      case 'attached':
        return this.#attached.get(message.id)?.resolve();
      case 'detached':
        this.#attached.delete(message.id);
        return;
      case 'codecs-wanted':
        return this.#tellCodecs(message.id);
      case 'counted':
        return this.#counted(message.id, message.given);
      case 'key-frame-wanted':
        return this.#askKeyFrame(message.id);
      case 'post':
        return this.#emit('post', message.post);
      case 'epoch':
        return this.#emit('epoch', message.epoch);
      case 'sending':
        this.#ready.resolve();
        return this.#emit('sending', { epoch: message.epoch });
      case 'status':
        return this.#emit('status', message.status);
      case 'refused':
        return this.#emit('refused', message.refused);
      case 'frames':
        return this.#report(message.report);
      case 'fatal':
        return this.#fail(message.fatal.code, message.fatal.message);
    }
  }

  #counted(id: number, given: Given | undefined): void {
    if (id === beatID) return this.#answered();
    const asked = this.#counts.get(id);
    this.#counts.delete(id);
    if (given) asked?.resolve(given);
    else asked?.reject(noTransform());
  }

  /** Frames of some browsers name only a payload type. What it stands for was negotiated here. */
  #tellCodecs(id: number): void {
    const target = this.#attached.get(id)?.target.deref();
    const codecs: Record<number, string> = {};
    for (const { payloadType, mimeType } of target?.getParameters().codecs ?? []) {
      codecs[payloadType] = mimeType;
    }
    this.#send({ type: 'codecs', id, codecs });
  }

  /** Chromium's encoders take the wish for a key frame here. Where it is ignored a viewer asks later. */
  #askKeyFrame(id: number): void {
    const target = this.#attached.get(id)?.target.deref();
    if (!target || !('setParameters' in target)) return;
    const parameters = target.getParameters();
    const options = { encodingOptions: parameters.encodings.map(() => ({ keyFrame: true })) };
    target.setParameters(parameters, options).catch(() => undefined); // closed, or not yet negotiated
  }

  #report(report: TransformReport): void {
    const attached = this.#attached.get(report.id);
    if (attached) this.#emit('frames', attached.report(report));
  }

  #emit<K extends keyof Events>(event: K, value: Events[K]): void {
    for (const handler of this.#handlers.get(event) ?? []) {
      (handler as (event: Events[K]) => void)(value);
    }
  }

  #send(message: ToWorker): void {
    if (!this.#stopped) this.#worker.postMessage(message);
  }

  #fail(code: string, message: string): void {
    if (this.#stopped) return;
    this.#end(new E2EEError(code, message));
    this.#emit('fatal', { code, message });
  }

  #end(reason: E2EEError): void {
    if (this.#stopped) return;
    this.#stopped = reason;
    clearInterval(this.#heart);
    this.#worker.terminate();
    for (const d of [this.#loaded, this.#ready, this.#configured]) d?.reject(reason);
    for (const count of this.#counts.values()) count.reject(reason);
    for (const attached of this.#attached.values()) attached.reject(reason);
  }
}
