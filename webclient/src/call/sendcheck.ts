import type { Given, StreamCounts } from './ports';

/** What has left of one RTP stream, by the browser's own count. */
export interface Left {
  ssrc: number;
  /**
   * Bytes of payload, without what was asked for again. It is counted where packets leave, behind
   * the transform. Of a picture Chromium counts here what it sends again by itself, as a probe.
   */
  payload: number;
  /** Frames out of the encoder, of a picture; before the transform, and "sent" by the name of framesSent. */
  encoded?: number;
}

/** First what had left, then, asked after that, what the transform was given. */
export interface Look {
  left: readonly Left[];
  given: Given;
}

interface Witnesses {
  left: () => Promise<Left[]>;
  /** It resolves whenever the worker answers, and rejects if there is no transform. */
  given: () => Promise<Given>;
  /** Whether the sender has the transform that we gave it. */
  intact: () => boolean;
}

interface Findings {
  /** Once, and for all: something has left past the transform. */
  bypassed: () => void;
  /** The worker does not answer (true): nothing may be given to the sender until it does (false). */
  silent: (isSilent: boolean) => void;
}

const firstLook = 500; // ms after the track was set
const nextLook = 1_000; // ms; to look takes a browser some milliseconds
const tickEvery = 250; // ms; to see whether the transform is there costs nothing
const patience = 8; // ticks that the worker may take. Each is a turn of this page, which may be busy itself.
const row = 3; // looks that together prove something

interface Run {
  look?: ReturnType<typeof setTimeout>;
  ticks?: ReturnType<typeof setInterval>;
  /** Ticks since the worker was asked. */
  waited?: number | undefined;
}

/**
 * Looks whether what a sender sends goes through our transform. A browser can leave a transform out
 * that was set too late for it, without an error, and send in clear from then on; and where a
 * transform is taken off, Firefox does, also when the worker is dead.
 *
 * Nothing is judged by time: a worker on a busy machine may be late by any amount. Counts are taken
 * in an order in which only a bypass makes them disagree (`provesBypass`), and while the worker has
 * not said its part, the sender gets nothing to send.
 */
export class SendCheck {
  readonly #witnesses: Witnesses;
  readonly #findings: Findings;
  #looks: Look[] = [];
  #silent = false;
  #run: Run | undefined;

  constructor(witnesses: Witnesses, findings: Findings) {
    this.#witnesses = witnesses;
    this.#findings = findings;
  }

  /** A track is being sent from now on. */
  start(): void {
    if (this.#run) return;
    const run: Run = {};
    this.#run = run;
    run.ticks = setInterval(() => this.#tick(run), tickEvery);
    this.#lookIn(run, firstLook);
  }

  /** Nothing is sent any more. */
  stop(): void {
    clearTimeout(this.#run?.look);
    clearInterval(this.#run?.ticks);
    this.#run = undefined;
    this.#looks = [];
    this.#silent = false;
  }

  #tick(run: Run): void {
    if (!this.#witnesses.intact()) this.#found();
    else if (run.waited !== undefined && ++run.waited === patience) this.#setSilent(true);
  }

  #found(): void {
    this.stop();
    this.#findings.bypassed();
  }

  #setSilent(isSilent: boolean): void {
    if (isSilent === this.#silent) return;
    this.#silent = isSilent;
    this.#findings.silent(isSilent);
  }

  #lookIn(run: Run, pause: number): void {
    run.look = setTimeout(() => void this.#look(run), pause);
  }

  async #look(run: Run): Promise<void> {
    const look = await this.#take(run);
    if (run !== this.#run) return;
    run.waited = undefined;
    if (look) {
      this.#looks = [...this.#looks, look].slice(-row);
      if (provesBypass(this.#looks)) {
        this.#found();
        return;
      }
    }
    this.#setSilent(!look);
    this.#lookIn(run, nextLook);
  }

  /** Undefined if it cannot be looked: the sender has no transform, or the browser no counts. */
  async #take(run: Run): Promise<Look | undefined> {
    try {
      const left = await this.#witnesses.left();
      run.waited = 0;
      return { left, given: await this.#witnesses.given() };
    } catch {
      return undefined;
    }
  }
}

/**
 * Whether the last of these looks proves that something left past the transform. One is enough if
 * payload of a stream has left of which no frame was ever given back: what is sent again was sent
 * before. Later it takes three looks in a row between which payload left, and the encoder made
 * frames, while no frame came to a transform that was waiting for one. Frames come to it as tasks,
 * in the order in which they were made, and so before the question that was asked after them.
 */
export function provesBypass(looks: readonly Look[]): boolean {
  const last = looks.at(-1);
  if (!last) return false;
  return last.left.some(
    (stream) => isUntouched(stream, last.given) || passesBy(stream.ssrc, looks.slice(-row)),
  );
}

function isUntouched({ ssrc, payload }: Left, given: Given): boolean {
  return payload > 0 && countsOf(given, ssrc).passed === 0;
}

function passesBy(ssrc: number, looks: readonly Look[]): boolean {
  if (looks.length < row || looks.some(({ given }) => given.busy)) return false;
  return looks.slice(1).every((look, i) => {
    const before = looks[i];
    return before !== undefined && leaves(ssrc, before, look) && !comes(ssrc, before, look);
  });
}

function leaves(ssrc: number, before: Look, after: Look): boolean {
  const [was, is] = [before, after].map(({ left }) => left.find((stream) => stream.ssrc === ssrc));
  if (!was || !is || is.payload <= was.payload) return false;
  return is.encoded === undefined || is.encoded > (was.encoded ?? 0);
}

function comes(ssrc: number, before: Look, after: Look): boolean {
  return countsOf(after.given, ssrc).taken !== countsOf(before.given, ssrc).taken;
}

function countsOf({ streams }: Given, ssrc: number): StreamCounts {
  return streams[ssrc] ?? streams[0] ?? { taken: 0, passed: 0 };
}

/** What the browser says has left of a sender, in all layers. */
export async function leftOf(sender: RTCRtpSender): Promise<Left[]> {
  const left: Left[] = [];
  (await sender.getStats()).forEach((stats: RTCOutboundRtpStreamStats) => {
    if (stats.type !== 'outbound-rtp') return;
    const { ssrc, bytesSent = 0, retransmittedBytesSent = 0, framesEncoded, kind } = stats;
    const encoded = kind === 'video' ? (framesEncoded ?? 0) : undefined;
    const payload = bytesSent - retransmittedBytesSent;
    left.push({ ssrc, payload, ...(encoded === undefined ? {} : { encoded }) });
  });
  return left;
}
