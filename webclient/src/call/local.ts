import { Emitter } from '../signal/emitter';
import { type DeviceFault, openDevice, whyEnded } from './devices';
import type { Kind } from './ports';

/** How one of our devices stands. */
export interface LocalDevice {
  readonly on: boolean;
  /** The open device, also while the microphone is muted. */
  readonly track?: MediaStreamTrack;
  readonly fault?: DeviceFault;
  readonly opening: boolean;
}

export type LocalState = Readonly<Record<Kind, LocalDevice>>;

const off: LocalDevice = { on: false, opening: false };

/**
 * Our microphone and camera. A muted microphone stays open, so that unmuting is quick, but its track
 * is disabled and is not sent; a camera that is off is closed, so that its light is off.
 */
export class LocalMedia {
  readonly #events = new Emitter<{ change: LocalState }>();
  readonly #open: typeof openDevice;
  readonly #whyEnded: typeof whyEnded;
  readonly #chosen: Partial<Record<Kind, string>> = {};
  readonly #turn: Record<Kind, number> = { audio: 0, video: 0 };
  #state: LocalState = { audio: off, video: off };

  constructor(open = openDevice, why = whyEnded) {
    this.#open = open;
    this.#whyEnded = why;
  }

  get state(): LocalState {
    return this.#state;
  }

  onChange(handler: (state: LocalState) => void): () => void {
    return this.#events.on('change', handler);
  }

  /** The track to send, or null. */
  sending(kind: Kind): MediaStreamTrack | null {
    const { on, track } = this.#state[kind];
    return on && track ? track : null;
  }

  async turn(kind: Kind, on: boolean): Promise<void> {
    const { track } = this.#state[kind];
    if (on && track?.readyState !== 'live') {
      await this.#reopen(kind);
      return;
    }
    this.#turn[kind]++; // an opening that is under way comes too late
    if (!on && kind === 'video') track?.stop();
    if (track?.readyState !== 'live') {
      this.#set(kind, off);
      return;
    }
    track.enabled = on;
    this.#set(kind, { on, track, opening: false });
  }

  /** Uses this device from now on; at once if one of its kind is open. */
  async choose(kind: Kind, id: string): Promise<void> {
    this.#chosen[kind] = id;
    const { on, track, opening } = this.#state[kind];
    if (track || opening) await this.#reopen(kind, on);
  }

  chosen(kind: Kind): string | undefined {
    return this.#state[kind].track?.getSettings().deviceId ?? this.#chosen[kind];
  }

  close(): void {
    for (const kind of ['audio', 'video'] as const) {
      this.#turn[kind]++;
      this.#state[kind].track?.stop();
    }
    this.#state = { audio: off, video: off };
    this.#events.clear();
  }

  async #reopen(kind: Kind, on = true): Promise<void> {
    const turn = ++this.#turn[kind];
    const before = this.#state[kind].track;
    this.#set(kind, { on, opening: true, ...(before ? { track: before } : {}) });
    const opened = await this.#open(kind, this.#chosen[kind]);
    if (turn !== this.#turn[kind]) {
      if (typeof opened !== 'string') opened.stop();
      return;
    }
    before?.stop();
    if (typeof opened === 'string') this.#set(kind, { on: false, opening: false, fault: opened });
    else this.#take(kind, opened, on);
  }

  #take(kind: Kind, track: MediaStreamTrack, on: boolean): void {
    track.enabled = on;
    if (kind === 'video') track.contentHint = 'motion';
    track.addEventListener('ended', () => {
      if (this.#state[kind].track === track) void this.#ended(kind);
    });
    this.#set(kind, { on, track, opening: false });
  }

  /** The device was unplugged, or the user took it from the page. */
  async #ended(kind: Kind): Promise<void> {
    const turn = ++this.#turn[kind];
    this.#set(kind, off);
    const fault = await this.#whyEnded(kind);
    if (turn === this.#turn[kind]) this.#set(kind, { ...off, fault });
  }

  #set(kind: Kind, device: LocalDevice): void {
    this.#state = { ...this.#state, [kind]: device };
    this.#events.emit('change', this.#state);
  }
}
