import { codecOf, type Codec } from './framecrypt';
import type { TransformOptions, TransformReport } from './messages';
import type { Info, Ring } from './ring';
import {
  type EncodedFrame,
  type FrameCode,
  type Given,
  type Source,
  sources,
  type StreamCounts,
} from './types';

/** How long a frame waits for its epoch to start, in milliseconds. */
export const earlyWait = 500;

/** How much may wait in all transforms together, in bytes. */
export const earlyBytes = 4 * 2 ** 20;

/** How long after a good frame a bad one says nothing about the state, in milliseconds. */
const goodFor = 500;

/** How often a transform asks what its payload types stand for, in milliseconds. */
const askEvery = 500;

/** What the transforms of a worker share. */
export interface Shared {
  ring: Ring;
  /** Bytes of frames that wait. */
  early: number;
  /** False once something has failed that must not: nothing passes any more. */
  running: boolean;
  pidOf(info: Info): string | undefined;
  report(report: TransformReport): void;
  wantCodecs(id: number): void;
  fail(error: unknown): void;
}

interface Early {
  frame: EncodedFrame;
  codec: Codec;
  bytes: number;
  until: number;
}

/** One sender's or receiver's transform: it seals or opens its frames one after the other. */
export class Transform {
  readonly id: number;
  readonly #options: TransformOptions;
  readonly #shared: Shared;
  readonly #teller: Teller;
  #writer: WritableStreamDefaultWriter<EncodedFrame> | undefined;
  #codecs: Record<number, string> = {};
  #asked = -Infinity;
  readonly #streams: Record<number, StreamCounts> = {};
  #busy = false;
  #early: Early[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(options: TransformOptions, shared: Shared) {
    this.id = options.id;
    this.#options = options;
    this.#shared = shared;
    this.#teller = new Teller(options.id, shared);
  }

  /** Runs until the streams end. It never rejects. */
  async run(
    readable: ReadableStream<EncodedFrame>,
    writable: WritableStream<EncodedFrame>,
  ): Promise<void> {
    const reader = readable.getReader();
    this.#writer = writable.getWriter();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        this.#busy = true;
        this.#countsOf(value).taken++;
        await this.#inTurn(() => this.#pass(value));
        this.#busy = false;
      }
    } catch {
      // The connection is gone, and its streams with it.
    }
    this.#writer = undefined;
    this.#drop(this.#early.splice(0));
  }

  /** What the browser has given to it. */
  get given(): Given {
    return { streams: this.#streams, busy: this.#busy };
  }

  /** Takes what the payload types of this sender or receiver stand for. */
  setCodecs(codecs: Record<number, string>): void {
    this.#codecs = codecs;
  }

  /** Tries the frames that wait, in their order: an epoch has started. Never rejects. */
  retry(): Promise<void> {
    return this.#inTurn(async () => {
      for (const early of this.#early.splice(0)) {
        this.#shared.early -= early.bytes;
        await this.#open(early.frame, early.codec, early.until);
      }
    });
  }

  /** Tells what has changed since it was told last. */
  tell(): void {
    this.#teller.tell();
  }

  /** Keeps the order of frames: one is through before the next is looked at. */
  #inTurn(task: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(task).catch((error: unknown) => this.#shared.fail(error));
    return this.#last;
  }

  async #pass(frame: EncodedFrame): Promise<void> {
    if (!this.#shared.running) return;
    const codec = this.#codecOf(frame);
    if (codec === undefined) {
      this.#teller.failed('codec_unsupported');
      return;
    }
    if (this.#options.direction === 'send') await this.#seal(frame, codec, this.#options.source);
    else await this.#open(frame, codec, performance.now() + earlyWait);
  }

  async #seal(frame: EncodedFrame, codec: Codec, source: Source): Promise<void> {
    const sealed = await this.#shared.ring.seal(sources.indexOf(source), codec, frame.data);
    if (!sealed.ok) {
      this.#teller.failed(sealed.code);
      return;
    }
    this.#countsOf(frame).passed++;
    await this.#write(frame, sealed.data);
    this.#teller.passed();
  }

  #countsOf(frame: EncodedFrame): StreamCounts {
    const { synchronizationSource = 0 } = frame.getMetadata();
    return (this.#streams[synchronizationSource] ??= { taken: 0, passed: 0 });
  }

  async #open(frame: EncodedFrame, codec: Codec, until: number): Promise<void> {
    const opened = await this.#shared.ring.open(codec, frame.data);
    if (!opened.ok) {
      if (opened.early && this.#hold({ frame, codec, until, bytes: frame.data.byteLength })) return;
      this.#teller.failed(opened.code);
      return;
    }
    if (!opened.info) {
      await this.#write(frame, opened.data); // of zero length
      return;
    }
    const pid = this.#shared.pidOf(opened.info);
    const { rtpTimestamp } = frame.getMetadata();
    // Whoever is not told as shown must not be shown.
    if (!this.#teller.shows(pid, opened.info.source, rtpTimestamp)) return;
    await this.#write(frame, opened.data);
    this.#teller.passed();
  }

  async #write(frame: EncodedFrame, data: ArrayBuffer): Promise<void> {
    if (!this.#shared.running) return;
    frame.data = data;
    await this.#writer?.write(frame).catch(() => undefined); // closed: nobody wants it any more
  }

  /** The codec that a frame says it is of, or that its payload type was negotiated for. */
  #codecOf(frame: EncodedFrame): Codec | undefined {
    const { mimeType, payloadType } = frame.getMetadata();
    const negotiated = payloadType === undefined ? undefined : this.#codecs[payloadType];
    const name = mimeType ?? negotiated ?? this.#options.codec;
    if (name !== undefined) return codecOf(name);
    const now = performance.now();
    if (now - this.#asked >= askEvery) {
      this.#asked = now;
      this.#shared.wantCodecs(this.id);
    }
    return undefined;
  }

  /** Lets a frame wait, if there is time and room. */
  #hold(early: Early): boolean {
    const inTime = early.until > performance.now();
    if (!inTime || this.#shared.early + early.bytes > earlyBytes) return false;
    this.#shared.early += early.bytes;
    this.#early.push(early);
    this.#timer ??= setTimeout(() => this.#expire(), early.until - performance.now());
    return true;
  }

  #expire(): void {
    this.#timer = undefined;
    const now = performance.now();
    const over = this.#early.findIndex((early) => early.until > now);
    this.#drop(this.#early.splice(0, over < 0 ? Infinity : over));
    const next = this.#early[0];
    if (next) this.#timer = setTimeout(() => this.#expire(), next.until - now);
  }

  #drop(dropped: Early[]): void {
    for (const early of dropped) {
      this.#shared.early -= early.bytes;
      this.#teller.failed('missing_key');
    }
  }
}

/**
 * Counts what a transform does. It tells changes of the state and of the shown source at once, and
 * counts when it is asked to.
 */
class Teller {
  readonly #id: number;
  readonly #shared: Shared;
  readonly #failed: Partial<Record<FrameCode, number>> = {};
  #state: TransformReport['state'] = 'idle';
  #frames = 0;
  #lastGood = -Infinity;
  #shown: { pid: string | undefined; source: Source } | undefined;
  #newest: number | undefined; // RTP timestamp
  #changed = false;

  constructor(id: number, shared: Shared) {
    this.#id = id;
    this.#shared = shared;
  }

  passed(): void {
    this.#frames++;
    this.#changed = true;
    this.#lastGood = performance.now();
    this.#enter('ok');
  }

  /**
   * Takes whose frame was opened, and says whether it is to be shown. A late frame of who was shown
   * before does not bring it back, and is dropped: the timestamp, by which it is late, is the
   * server's to choose.
   */
  shows(pid: string | undefined, source: Source, timestamp: number | undefined): boolean {
    const late = isLate(timestamp, this.#newest);
    const isShown = this.#shown?.pid === pid && this.#shown?.source === source;
    if (late) return isShown;
    this.#newest = timestamp;
    if (!isShown) {
      this.#shown = { pid, source };
      this.#state = 'idle'; // so that it is told at once
    }
    return true;
  }

  /** A replay says nothing about the state: networks repeat packets. */
  failed(code: FrameCode): void {
    this.#failed[code] = (this.#failed[code] ?? 0) + 1;
    this.#changed = true;
    if (code !== 'replayed' && performance.now() - this.#lastGood >= goodFor) this.#enter(code);
  }

  tell(): void {
    if (!this.#changed) return;
    this.#changed = false;
    const { pid, source } = this.#shown ?? {};
    this.#shared.report({
      id: this.#id,
      state: this.#state,
      frames: this.#frames,
      failed: { ...this.#failed },
      ...(pid === undefined ? {} : { pid }),
      ...(source === undefined ? {} : { source }),
    });
  }

  #enter(state: TransformReport['state']): void {
    if (state === this.#state) return;
    this.#state = state;
    this.tell();
  }
}

/** How far back a timestamp may be and still be a late one, not one of a new count: 90 kHz x 5 s. */
const lateSpan = 450_000;

function isLate(timestamp: number | undefined, newest: number | undefined): boolean {
  if (timestamp === undefined || newest === undefined) return false;
  const behind = (newest - timestamp) | 0; // RTP timestamps wrap at 32 bits
  return behind > 0 && behind < lateSpan;
}
