/** Witnesses of what one sender does. */
interface Witnesses {
  /** Frames or packets that the browser counts as sent. */
  sent: () => Promise<number>;
  /**
   * Whether these are counted behind the place of the transform, where nothing comes while the
   * worker stands still. Packets of a voice are; frames of a picture are counted when they are
   * encoded, and its packets grow by probes (measured in Chromium 156 and Firefox 153).
   */
  behind: boolean;
  /** Frames that our transform was given. It resolves only while the worker is alive. */
  taken: () => Promise<number>;
  /** Whether the sender has the transform that we gave it. */
  intact: () => boolean;
}

const firstLook = 1_000; // ms after the track was set
const nextLook = 2_000; // ms
const secondLook = 500; // ms; after something odd, time for what was on its way to arrive
const answerTime = 1_000; // ms that a worker may take; it answers within some
const intactEvery = 250; // ms; to look costs nothing

interface Run {
  timer?: ReturnType<typeof setTimeout>;
  intact?: ReturnType<typeof setInterval>;
}

/**
 * Looks whether what a sender sends goes through our transform. A browser can leave a transform out
 * that was set too late for it, without an error, and send in clear from then on; and where a
 * transform is taken off, Firefox does, also when the worker is dead.
 *
 * It is judged by counts that rise, not by counts that agree: frames may be dropped on either side
 * of the transform. One look at which the browser has sent and the transform has got nothing may be
 * a frame that was between the two; a second one in a row cannot be. Silence and a muted track are
 * no alarm. A worker that does not answer is none by itself, since it may be busy; but what leaves
 * meanwhile has not been through it.
 */
export class SendCheck {
  readonly #witnesses: Witnesses;
  readonly #bypassed: () => void;
  #before = { sent: 0, taken: 0 };
  #odd = false;
  #leaking = false; // something was sent, and the worker has been silent since
  #run: Run | undefined;

  /** `bypassed` is called once, when frames leave that the transform was not given. */
  constructor(witnesses: Witnesses, bypassed: () => void) {
    this.#witnesses = witnesses;
    this.#bypassed = bypassed;
  }

  /** A track is being sent from now on. */
  start(): void {
    if (this.#run) return;
    this.#run = {};
    this.#run.intact = setInterval(() => {
      if (!this.#witnesses.intact()) this.#found();
    }, intactEvery);
    this.#lookIn(this.#run, firstLook);
  }

  /** Nothing is sent any more. */
  stop(): void {
    clearTimeout(this.#run?.timer);
    clearInterval(this.#run?.intact);
    this.#run = undefined;
  }

  #found(): void {
    this.stop();
    this.#bypassed();
  }

  #lookIn(run: Run, pause: number): void {
    run.timer = setTimeout(() => {
      this.#look().then(
        (isBypassed) => {
          if (run !== this.#run) return;
          if (isBypassed) return this.#found();
          this.#lookIn(run, this.#odd || this.#leaking ? secondLook : nextLook);
        },
        () => {
          if (run === this.#run) this.#lookIn(run, nextLook); // no answer is no finding
        },
      );
    }, pause);
  }

  async #look(): Promise<boolean> {
    const sent = await this.#witnesses.sent();
    const answer = this.#witnesses.taken();
    const taken = this.#witnesses.behind ? await inTime(answer) : await answer;
    const before = this.#before;
    const rises = sent > before.sent;
    this.#before = { sent, taken: taken ?? before.taken };
    if (taken === undefined) return this.#isLeaking(rises, answer);
    this.#leaking = false;
    if (taken !== before.taken) {
      this.#odd = false;
      return false;
    }
    const wasOdd = this.#odd;
    this.#odd ||= rises;
    return wasOdd && rises;
  }

  /** Of what is sent while the worker is silent: at first that may be from before it fell silent. */
  #isLeaking(rises: boolean, answer: Promise<number>): boolean {
    const wasLeaking = this.#leaking;
    this.#leaking ||= rises;
    answer.then(
      () => (this.#leaking = false), // it was busy
      () => undefined,
    );
    return wasLeaking && rises;
  }
}

/** The answer of a worker; undefined if there is none in time. */
async function inTime(answer: Promise<number>): Promise<number | undefined> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), answerTime);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the browser counts as sent: frames of a picture, in all layers; packets of a voice. */
export async function sentBy(sender: RTCRtpSender): Promise<number> {
  let sent = 0;
  (await sender.getStats()).forEach((stats: RTCOutboundRtpStreamStats) => {
    if (stats.type === 'outbound-rtp') sent += stats.framesSent ?? stats.packetsSent ?? 0;
  });
  return sent;
}
