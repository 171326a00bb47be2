import { peerConnectionConfig } from '../e2ee/support';
import type {
  Answer,
  ICEServer,
  Offer,
  OfferTrack,
  Source,
  SourceDemand,
} from '../signal/generated';
import { adapt, cameraEncodings, receiveAll, sendAs, type VideoCodec } from './codecs';
import type { Encryption, Kind } from './ports';
import { leftOf, SendCheck } from './sendcheck';

/** A recvonly media section: a place where the server shows whom we asked for. */
export interface Slot {
  /** Our name for it; it stands from before the offer, when there is no mid yet. */
  name: string;
  /** The number of its PeerConnection. */
  connection: number;
  kind: Kind;
  track: MediaStreamTrack;
}

interface PeerOptions {
  /** Numbers the PeerConnection, from 1. */
  connection: number;
  encryption: Pick<Encryption, 'attachSender' | 'attachReceiver' | 'ready' | 'given' | 'intact'>;
  /** What the camera's picture is coded by. */
  codec: VideoCodec;
  offer: (offer: Offer) => Promise<Answer>;
  create: () => RTCPeerConnection;
  onSlot: (slot: Slot) => void;
  /** `down` is final: make a new one. */
  onState: (state: 'up' | 'down') => void;
  /** The browser sent past the encryption. The PeerConnection is closed; there is no way on. */
  onBypass: () => void;
}

interface Uplink {
  transceiver: RTCRtpTransceiver;
  /** Resolved when the worker has acknowledged the transform. */
  attached: Promise<void>;
  wanted: MediaStreamTrack | null;
  /** The worker does not answer: nothing is sent meanwhile, whatever is wanted. */
  held: boolean;
  check: SendCheck;
  /** What of it somebody watches; undefined: all. */
  demand?: SourceDemand;
  /** The encodings are being changed. */
  changing?: boolean;
}

const restartPause = 2_000; // ms that ICE is disconnected before it restarts; it recovers from short gaps by itself
const patience = 15_000; // ms until it is given up; the server gives it up after 20 s
const tries = 5; // to change encodings; another change may be under way

/**
 * One PeerConnection: sendonly sections for our sources and a pool of recvonly slots. Only we offer.
 *
 * It fails closed: a section is made without a track, its transform is set in the same task, and a
 * track is given to it only after the worker has acknowledged the transform and has keys. While it
 * sends, it is checked that what it sends has gone through the transform, and the track is taken from
 * it for as long as the worker does not say so.
 */
export class Peer {
  readonly #options: PeerOptions;
  readonly #pc: RTCPeerConnection;
  readonly #uplinks = new Map<Source, Uplink>();
  readonly #slots = new Map<string, RTCRtpTransceiver>();
  #negotiating = false;
  #stale = false; // sections were added since the last offer
  #over = false;
  #stood = false; // it was connected once
  #restarting = false; // offered or about to be, and not answered yet
  #restartSoon: ReturnType<typeof setTimeout> | undefined;
  #giveUp: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PeerOptions) {
    this.#options = options;
    this.#pc = options.create();
    this.#pc.onconnectionstatechange = () => this.#connectionChanged();
    this.#addUplink('mic', 'audio');
    this.#addUplink('camera', 'video');
  }

  /** The slots' media sections by mid, as far as they are negotiated. */
  slotOfMid(mid: string): string | undefined {
    for (const [name, transceiver] of this.#slots) if (transceiver.mid === mid) return name;
    return undefined;
  }

  has(slot: string): boolean {
    return this.#slots.has(slot);
  }

  /** The relays with fresh credentials, for when ICE restarts. */
  setIceServers(iceServers: ICEServer[]): void {
    if (!this.#over) this.#pc.setConfiguration(peerConnectionConfig(iceServers));
  }

  /** Sends this track as that source, or nothing. The last call counts, whenever the earlier ones finish. */
  async setTrack(source: Source, track: MediaStreamTrack | null): Promise<void> {
    const uplink = this.#uplinks.get(source);
    if (!uplink || uplink.wanted === track) return;
    uplink.wanted = track;
    if (track) await Promise.all([uplink.attached, this.#options.encryption.ready]);
    if (!this.#isWanted(uplink, track)) return;
    if (!track) this.#letGo(uplink);
    await this.#place(uplink);
    if (!this.#isWanted(uplink, track)) return;
    if (uplink.demand) void this.#activate(uplink); // its layers go by the height of the track
    if (track) uplink.check.start();
  }

  /** Of nothing there is nothing to check. */
  #letGo(uplink: Uplink): void {
    uplink.check.stop();
    uplink.held = false;
  }

  /** Browsers do this in the order in which they are asked to. */
  #place({ transceiver, held, wanted }: Uplink): Promise<void> {
    return transceiver.sender.replaceTrack(held ? null : wanted);
  }

  #hold(uplink: Uplink, isHeld: boolean): void {
    uplink.held = isHeld;
    this.#place(uplink).catch(() => undefined); // closed, and so sends nothing
  }

  /**
   * Sends what somebody watches, and nothing else. The sections, their tracks and their transforms
   * stay as they are.
   */
  demand(sources: SourceDemand[]): void {
    for (const demand of sources) {
      const uplink = this.#uplinks.get(demand.source);
      if (!uplink) continue;
      uplink.demand = demand;
      void this.#activate(uplink);
    }
  }

  /** One change at a time: what is demanded meanwhile is seen when it is done. */
  async #activate(uplink: Uplink): Promise<void> {
    if (uplink.changing) return;
    uplink.changing = true;
    for (let i = 0; i < tries && !this.#over; i++) {
      const { sender } = uplink.transceiver;
      const parameters = sender.getParameters();
      const { height } = uplink.wanted?.getSettings() ?? {};
      if (!adapt(parameters.encodings, uplink.demand, height)) break;
      await sender.setParameters(parameters).catch(() => undefined);
    }
    uplink.changing = false;
  }

  #isWanted(uplink: Uplink, track: MediaStreamTrack | null): boolean {
    return !this.#over && uplink.wanted === track;
  }

  /** Makes the pool this large, if it is smaller, and offers it. */
  grow(size: { video: number; audio: number }): void {
    if (this.#over) return;
    const before = this.#slots.size;
    try {
      for (let i = this.#count('video'); i < size.video; i++) this.#addSlot('video', i);
      for (let i = this.#count('audio'); i < size.audio; i++) this.#addSlot('audio', i);
    } catch {
      this.#fail(); // a section without its transform must not be offered
      return;
    }
    if (this.#slots.size > before) void this.#negotiate();
  }

  /**
   * Looks for a way through another network: an offer with new ICE credentials for the same
   * PeerConnection. Its sections, their transforms and the keys of the transport stay as they are, and
   * what still goes by the former way goes on until there is a new one.
   */
  restart(): void {
    if (this.#over || !this.#stood || this.#restarting) return;
    this.#restarting = true;
    this.#awaitRecovery();
    this.#pc.restartIce(); // every offer until one is answered has the new credentials
    void this.#negotiate();
  }

  close(): void {
    this.#over = true;
    this.#recovered();
    for (const { check } of this.#uplinks.values()) check.stop();
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
  }

  #addUplink(source: Source, kind: Kind): void {
    const { codec } = this.#options;
    const transceiver = this.#pc.addTransceiver(kind, {
      direction: 'sendonly',
      ...(kind === 'video' ? { sendEncodings: cameraEncodings[codec] } : {}),
    });
    const attached = this.#options.encryption.attachSender(transceiver.sender, source);
    attached.catch(() => this.#fail());
    sendAs(transceiver, kind, codec);
    const { sender } = transceiver;
    const check = new SendCheck(
      {
        left: () => leftOf(sender),
        given: () => this.#options.encryption.given(sender),
        intact: () => this.#options.encryption.intact(sender),
      },
      { bypassed: () => this.#bypassed(), silent: (isSilent) => this.#hold(uplink, isSilent) },
    );
    const uplink: Uplink = { transceiver, attached, wanted: null, held: false, check };
    this.#uplinks.set(source, uplink);
  }

  #addSlot(kind: Kind, index: number): void {
    const { connection } = this.#options;
    const name = `${kind}-${connection}-${index}`; // so that late reports of another are told apart
    const transceiver = this.#pc.addTransceiver(kind, { direction: 'recvonly' });
    this.#options.encryption
      .attachReceiver(transceiver.receiver, name, kind)
      .catch(() => this.#fail());
    receiveAll(transceiver, kind);
    this.#slots.set(name, transceiver);
    this.#options.onSlot({ name, connection, kind, track: transceiver.receiver.track });
  }

  #count(kind: Kind): number {
    return [...this.#slots.keys()].filter((name) => name.startsWith(kind)).length;
  }

  /** One offer at a time; what is added meanwhile goes into the next. */
  async #negotiate(): Promise<void> {
    this.#stale = true;
    if (this.#negotiating) return;
    this.#negotiating = true;
    try {
      while (this.#needsOffer()) await this.#exchange();
    } catch {
      this.#fail();
    } finally {
      this.#negotiating = false;
    }
  }

  #needsOffer(): boolean {
    return this.#stale && !this.#over;
  }

  async #exchange(): Promise<void> {
    this.#stale = false;
    const restarts = this.#restarting;
    await this.#pc.setLocalDescription();
    const sdp = this.#pc.localDescription?.sdp ?? '';
    const { connection } = this.#options;
    const answer = await this.#options.offer({ connection, sdp, tracks: this.#tracks() });
    if (this.#over || answer.connection !== connection) return;
    await this.#pc.setRemoteDescription({ type: 'answer', sdp: answer.sdp });
    if (!restarts) return;
    this.#restarting = false;
    if (this.#pc.connectionState === 'connected') this.#recovered(); // it never was away
  }

  #tracks(): OfferTrack[] {
    return [...this.#uplinks].flatMap(([source, { transceiver }]) =>
      transceiver.mid === null ? [] : [{ mid: transceiver.mid, source }],
    );
  }

  #connectionChanged(): void {
    switch (this.#pc.connectionState) {
      case 'connected':
        this.#stood = true;
        this.#recovered();
        this.#options.onState('up');
        return;
      case 'disconnected':
        this.#awaitRecovery();
        this.#restartSoon ??= setTimeout(() => this.restart(), restartPause);
        return;
      case 'failed':
      case 'closed':
        this.#fail();
        return;
      case 'new':
      case 'connecting': // a restart: what waits for it goes on waiting
        return;
    }
  }

  #awaitRecovery(): void {
    this.#giveUp ??= setTimeout(() => this.#fail(), patience);
  }

  #recovered(): void {
    clearTimeout(this.#restartSoon);
    clearTimeout(this.#giveUp);
    this.#restartSoon = this.#giveUp = undefined;
  }

  #bypassed(): void {
    if (this.#over) return;
    for (const { transceiver } of this.#uplinks.values())
      transceiver.sender.replaceTrack(null).catch(() => undefined); // it is closed at once anyway
    this.close();
    this.#options.onBypass();
  }

  #fail(): void {
    if (this.#over) return;
    this.close();
    this.#options.onState('down');
  }
}
