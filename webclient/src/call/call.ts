import { Emitter } from '../signal/emitter';
import { LevelMeters, type Level } from './audio';
import type { VideoCodec } from './codecs';
import { newPID, type MeetingLink } from './link';
import type { LocalMedia } from './local';
import { Participation, type ParticipationOptions } from './participation';
import type { Slot } from './peer';
import type { Encryption } from './ports';
import { joining, others, slotOf } from './select';
import { initialState, reduce, type CallEvent, type CallState, type EndReason } from './state';
import { poolSize, wants, type ShownTile } from './view';

interface CallOptions {
  link: MeetingLink;
  name: string;
  local: LocalMedia;
  /** What the camera's picture is coded by. */
  codec: VideoCodec;
  /** Starts a worker. Each participation has its own: a leaf's keys die with it. */
  startEncryption: () => Promise<Encryption>;
  participate?: (options: ParticipationOptions) => Participation;
}

interface CallEvents {
  state: CallState;
  /** The slots with their tracks, as a whole. */
  slots: ReadonlyMap<string, Slot>;
}

const ownMeter = 'own';
const tickEvery = 1_000; // ms; what is shown may end by time alone
const loadPatience = 10_000; // ms, for some megabytes of code
const renewalLimit = 5; // fresh pids in a row without getting in; then the call ends and says why

/**
 * A call from joining to its end: participations one after the other (a new one with a fresh pid when
 * the room no longer knows the old one), the state that the page shows, and the sound.
 */
export class Call {
  readonly #options: CallOptions;
  readonly #events = new Emitter<CallEvents>();
  readonly #meters = new LevelMeters();
  readonly #unsubscribe: (() => void)[] = [];
  #state = initialState();
  #participation: Participation | undefined;
  #slots: ReadonlyMap<string, Slot> = new Map();
  #shown: ShownTile[] = [];
  #pixelRatio = 1;
  #renewals = 0;
  #ticks: ReturnType<typeof setInterval> | undefined;

  constructor(options: CallOptions) {
    this.#options = options;
    this.#unsubscribe.push(options.local.onChange(() => this.#sendLocal()));
  }

  get state(): CallState {
    return this.#state;
  }

  get slots(): ReadonlyMap<string, Slot> {
    return this.#slots;
  }

  readonly on: Emitter<CallEvents>['on'] = (event, handler) => this.#events.on(event, handler);

  /** Joins. Everything after shows in the state; it does not reject. */
  async join(): Promise<void> {
    const { link, name, codec } = this.#options;
    let encryption: Encryption;
    try {
      encryption = await this.#startEncryption();
    } catch {
      this.#end('worker_failed');
      return;
    }
    if (this.#state.ended) {
      encryption.stop();
      return;
    }
    const { participate = (options: ParticipationOptions) => new Participation(options) } =
      this.#options;
    this.#forgetSlots();
    this.#ticks ??= setInterval(() => this.#dispatch({ type: 'tick' }), tickEvery);
    this.#participation = participate({
      pid: newPID(),
      name,
      room: link.room,
      href: link.href,
      encryption,
      codec,
      dispatch: (event) => this.#dispatch(event),
      onSlot: (slot) => this.#addSlot(slot),
      onOver: (how) => this.#over(how),
    });
    this.#sendLocal();
    this.#sendView();
    await this.#participation.begin();
  }

  /** Loads it, however long that takes, and tells the user if it takes long. */
  async #startEncryption(): Promise<Encryption> {
    const slow = setTimeout(
      () => this.#dispatch({ type: 'encryption', answers: false }),
      loadPatience,
    );
    try {
      return await this.#options.startEncryption();
    } finally {
      clearTimeout(slow);
    }
  }

  /** Says which tiles are on the page, with their sizes, so that the server sends what fits. */
  show(tiles: ShownTile[], pixelRatio: number): void {
    this.#shown = tiles;
    this.#pixelRatio = pixelRatio;
    this.#sendView();
  }

  /** How loud a member is now, by its decrypted sound. */
  level(pid: string): Level {
    if (pid === this.#state.pid) return this.#options.local.sending('audio') ? this.ownLevel() : 0;
    const slot = slotOf(this.#state, pid, 'mic');
    return slot === undefined ? 0 : this.#meters.level(slot);
  }

  ownLevel(): Level {
    return this.#meters.level(ownMeter);
  }

  /** The network is another one, or was gone and is back: what stood before may be dead without a word. */
  networkBack(): void {
    this.#participation?.reconnect();
    this.#meters.resume();
  }

  /** The user touches something. */
  retryNow(): void {
    this.#participation?.retryNow();
    this.#meters.resume();
  }

  leave(): void {
    this.#participation?.leave();
    this.#end('left');
  }

  #dispatch(event: CallEvent): void {
    const before = this.#state;
    this.#state = reduce(before, event, performance.now());
    if (event.type === 'media' && event.media === 'up') this.#renewals = 0;
    if (this.#headcount() !== this.#headcount(before)) this.#sendView();
    this.#events.emit('state', this.#state);
  }

  #headcount(state = this.#state): number {
    return others(state).length + joining(state).length;
  }

  #addSlot(slot: Slot): void {
    const [last] = this.#slots.values();
    if (last && last.connection !== slot.connection) this.#forgetSlots();
    this.#slots = new Map(this.#slots).set(slot.name, slot);
    if (slot.kind === 'audio') this.#meters.watch(slot.name, slot.track);
    this.#events.emit('slots', this.#slots);
  }

  /** Those of an earlier PeerConnection have ended with it. */
  #forgetSlots(): void {
    for (const name of this.#slots.keys()) this.#meters.unwatch(name);
    this.#slots = new Map();
  }

  #sendLocal(): void {
    const { local } = this.#options;
    const microphone = local.sending('audio');
    this.#participation?.setTrack('mic', microphone);
    this.#participation?.setTrack('camera', local.sending('video'));
    if (microphone) this.#meters.watch(ownMeter, microphone);
  }

  #sendView(): void {
    const seen = wants(this.#shown, this.#pixelRatio);
    this.#participation?.setView(seen, poolSize(seen.length, this.#headcount()));
  }

  #over(how: 'renew' | EndReason): void {
    this.#participation = undefined;
    if (how !== 'renew') this.#end(how);
    else if (++this.#renewals > renewalLimit) this.#end('refused');
    else void this.join();
  }

  #end(reason: EndReason): void {
    if (this.#state.ended) return;
    this.#dispatch({ type: 'ended', reason });
    clearInterval(this.#ticks);
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
    this.#participation = undefined;
    this.#meters.close();
    this.#events.clear();
  }
}
