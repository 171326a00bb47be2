/** Two witnesses of what one sender does. */
interface Witnesses {
  /** Frames or packets that the browser counts as sent. */
  sent: () => Promise<number>;
  /** Frames that our transform was given. It resolves only while the worker is alive. */
  taken: () => Promise<number>;
}

const firstLook = 1_000; // ms after the track was set
const nextLook = 2_000; // ms
const secondLook = 500; // ms; after something odd, time for what was on its way to arrive

/**
 * Looks whether what a sender sends goes through our transform. A browser can leave a transform out
 * that was set too late for it, without an error, and send in clear from then on.
 *
 * It is judged by counts that rise, not by counts that agree: frames may be dropped on either side
 * of the transform. One look at which the browser has sent and the transform has got nothing may be
 * a frame that was between the two; a second one in a row cannot be. Silence, a muted track and a
 * worker that is busy are no alarm: nothing is sent then, or nothing is answered.
 */
export class SendCheck {
  readonly #witnesses: Witnesses;
  readonly #bypassed: () => void;
  #before = { sent: 0, taken: 0 };
  #odd = false;
  #run: { timer?: ReturnType<typeof setTimeout> } | undefined;

  /** `bypassed` is called once, when frames leave that the transform was not given. */
  constructor(witnesses: Witnesses, bypassed: () => void) {
    this.#witnesses = witnesses;
    this.#bypassed = bypassed;
  }

  /** A track is being sent from now on. */
  start(): void {
    if (this.#run) return;
    this.#run = {};
    this.#lookIn(this.#run, firstLook);
  }

  /** Nothing is sent any more. */
  stop(): void {
    clearTimeout(this.#run?.timer);
    this.#run = undefined;
  }

  #lookIn(run: { timer?: ReturnType<typeof setTimeout> }, pause: number): void {
    run.timer = setTimeout(() => {
      this.#look().then(
        (isBypassed) => {
          if (run !== this.#run) return;
          if (!isBypassed) return this.#lookIn(run, this.#odd ? secondLook : nextLook);
          this.stop();
          this.#bypassed();
        },
        () => {
          if (run === this.#run) this.#lookIn(run, nextLook); // no answer is no finding
        },
      );
    }, pause);
  }

  async #look(): Promise<boolean> {
    const { sent, taken } = this.#before;
    const now = { sent: await this.#witnesses.sent(), taken: await this.#witnesses.taken() };
    this.#before = now;
    if (now.taken !== taken) {
      this.#odd = false;
      return false;
    }
    const wasOdd = this.#odd;
    const isOdd = now.sent > sent;
    this.#odd ||= isOdd;
    return wasOdd && isOdd;
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
