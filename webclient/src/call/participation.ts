import { peerConnectionConfig } from '../e2ee/support';
import { Connection, roomSocketURL } from '../signal/connection';
import { SignalError } from '../signal/errors';
import type {
  Answer,
  ICEServer,
  Offer,
  PID,
  Ready,
  Slots,
  Source,
  Want,
} from '../signal/generated';
import type { VideoCodec } from './codecs';
import { Peer, type Slot } from './peer';
import type { Encryption, Post } from './ports';
import type { CallEvent, EndReason } from './state';

export interface ParticipationOptions {
  pid: PID;
  name: string;
  room: string;
  /** The whole link, for the worker alone. */
  href: string;
  encryption: Encryption;
  /** What the camera's picture is coded by. */
  codec: VideoCodec;
  openConnection?: (url: string, pid: PID) => Connection;
  createPeer?: (iceServers: ICEServer[]) => RTCPeerConnection;
  dispatch: (event: CallEvent) => void;
  onSlot: (slot: Slot) => void;
  /** The participation is over. `renew`: begin another one, with a fresh pid. */
  onOver: (how: 'renew' | EndReason) => void;
}

const firstPause = 500; // ms before a PeerConnection that failed is made anew, doubled each time
const longestPause = 8_000; // ms
const offerPause = 2_000; // ms, in which the room allows one more offer

/** All that belongs to one pid: its connection, its worker, its PeerConnection. */
export class Participation {
  readonly #options: ParticipationOptions;
  readonly #connection: Connection;
  readonly #tracks = new Map<Source, MediaStreamTrack | null>();
  readonly #muted = new Map<Source, boolean>();
  #wants: Want[] = [];
  #size = { video: 0, audio: 0 };
  #peer: Peer | undefined;
  #peers = 0;
  #failures = 0;
  #pause: ReturnType<typeof setTimeout> | undefined;
  #connected = false;
  #iceServers: ICEServer[] = [];
  #over = false;
  #held: Post[] = []; // for the room, once we are connected
  #lost: number[] = []; // posts whose answer was lost with the socket
  #heldOffers: (() => void)[] = []; // go on once we are connected again, or may offer again

  constructor(options: ParticipationOptions) {
    this.#options = options;
    const open = options.openConnection ?? ((url, pid) => new Connection({ url, pid }));
    const origin = new URL(options.href).origin;
    this.#connection = open(roomSocketURL(origin, options.room), options.pid);
    this.#listenToConnection();
    this.#listenToEncryption();
  }

  /** Configures the worker, then connects. */
  async begin(): Promise<void> {
    const { encryption, pid, href, name, dispatch } = this.#options;
    dispatch({ type: 'began', pid });
    try {
      await encryption.configure({ link: href, pid, name });
    } catch {
      this.#finish('worker_failed');
      return;
    }
    if (!this.#over) this.#connection.open();
  }

  /** What we send as this source from now on; null is nothing. */
  setTrack(source: Source, track: MediaStreamTrack | null): void {
    this.#tracks.set(source, track);
    this.#muted.set(source, track === null);
    this.#send(source);
    this.#tellMute(source);
  }

  /** What we want to see, and how many slots that and the voices take. */
  setView(wants: Want[], size: { video: number; audio: number }): void {
    this.#size = size;
    this.#peer?.grow(size);
    if (JSON.stringify(wants) === JSON.stringify(this.#wants)) return;
    this.#wants = wants;
    this.#connection.tell({ type: 'view', body: { wants } });
  }

  /** The network is another one: what stood before may be dead without a word. */
  reconnect(): void {
    this.#connection.reconnect();
    this.#peer?.restart(); // its offer is sent again if the socket was lost
  }

  retryNow(): void {
    this.#connection.retryNow();
  }

  leave(): void {
    this.#connection.leave();
  }

  #listenToConnection(): void {
    const { dispatch, encryption } = this.#options;
    const connection = this.#connection;
    connection.on('ready', (ready) => this.#ready(ready));
    connection.on('entries', (entries) => encryption.logEntries(entries));
    connection.on('participant', (participant) => dispatch({ type: 'participant', participant }));
    connection.on('gone', ({ pid }) => dispatch({ type: 'gone', pid }));
    connection.on('slots', (slots) => this.#hint(slots));
    connection.on('demand', (demand) => {
      if (demand.connection === this.#peers) this.#peer?.demand(demand.sources);
    });
    connection.on('mediaDown', (down) => {
      if (down.connection === this.#peers) this.#peerDown();
    });
    connection.on('lost', () => {
      this.#connected = false;
      dispatch({ type: 'lost' });
    });
    connection.on('closed', ({ remedy, code }) => {
      if (remedy === 'renew') this.#finish('renew');
      else this.#finish(isEndReason(code) ? code : 'refused');
    });
  }

  #listenToEncryption(): void {
    const { dispatch, encryption } = this.#options;
    encryption.on('post', (post) => this.#post(post));
    encryption.on('epoch', (epoch) => dispatch({ type: 'epoch', epoch }));
    encryption.on('sending', ({ epoch }) => dispatch({ type: 'sending', epoch }));
    encryption.on('frames', (report) => {
      // What a PeerConnection that was given up still tells says nothing of the present one.
      if (report.direction === 'send') dispatch({ type: 'sent', report });
      else if (this.#peer?.has(report.mid)) dispatch({ type: 'report', report });
    });
    encryption.on('status', (status) => {
      dispatch({ type: 'status', status });
      if (status.state === 'ended') this.#sessionEnded(status.code);
    });
    encryption.on('answering', (answers) => dispatch({ type: 'encryption', answers }));
    encryption.on('fatal', () => this.#finish('worker_failed'));
  }

  /** Left by the log, though we did not leave: the grace period passed us by. We come back as a new leaf. */
  #sessionEnded(code: string | undefined): void {
    this.#finish(code === 'left' || code === 'removed' ? 'renew' : 'session_ended');
  }

  #ready(ready: Ready): void {
    const { dispatch, encryption } = this.#options;
    this.#connected = true;
    this.#iceServers = ready.iceServers ?? [];
    this.#peer?.setIceServers(this.#iceServers);
    dispatch({ type: 'connected', here: ready.here });
    encryption.logOpened(ready.logId, ready.head);
    for (const seq of this.#lost.splice(0)) encryption.posted(seq, 'connection_lost');
    for (const post of this.#held.splice(0)) this.#post(post);
    if (this.#wants.length > 0)
      this.#connection.tell({ type: 'view', body: { wants: this.#wants } });
    for (const source of this.#muted.keys()) this.#tellMute(source);
    this.#resumeOffers();
    if (!this.#peer) this.#openPeer();
  }

  #post(post: Post): void {
    if (!this.#connected) {
      this.#held.push(post);
      return;
    }
    const { seq, ...message } = post;
    this.#connection.request(message).then(
      () => this.#options.encryption.posted(seq),
      (error: unknown) => this.#refused(seq, error),
    );
  }

  #refused(seq: number, error: unknown): void {
    if (isLost(error)) this.#lost.push(seq);
    else this.#options.encryption.posted(seq, isSignalError(error) ? error.code : 'internal');
  }

  #openPeer(): void {
    if (this.#over) return;
    const { encryption, codec, onSlot, createPeer = openPeer } = this.#options;
    const made: { pc?: RTCPeerConnection } = {};
    let peer: Peer;
    try {
      peer = new Peer({
        connection: ++this.#peers,
        encryption,
        codec,
        create: () => (made.pc = createPeer(this.#iceServers)),
        offer: (offer) => this.#offer(offer),
        onSlot,
        onState: (state) => {
          if (peer !== this.#peer) return;
          if (state === 'up') this.#peerUp();
          else this.#peerDown();
        },
        onBypass: () => this.#finish('sent_in_clear'),
      });
    } catch {
      made.pc?.close(); // one without transforms
      this.#peerDown();
      return;
    }
    this.#peer = peer;
    this.#options.dispatch({ type: 'media', media: 'connecting' });
    peer.grow(this.#size);
    for (const source of this.#tracks.keys()) this.#send(source);
  }

  /**
   * A lost WebSocket does not end media: the same offer is sent again over the next one. Nor does a
   * room in which so many come at once that it wants fewer offers: the same one is sent later.
   */
  async #offer(offer: Offer): Promise<Answer> {
    for (;;) {
      try {
        return (await this.#connection.request({ type: 'offer', body: offer })) as Answer;
      } catch (error) {
        if (isRateLimited(error)) setTimeout(() => this.#resumeOffers(), offerPause);
        else if (!isLost(error)) throw error;
      }
      await new Promise<void>((resolve) => this.#heldOffers.push(resolve));
      if (offer.connection !== this.#peers || !this.#peer) throw new SignalError('closed', 'offer');
    }
  }

  #resumeOffers(): void {
    for (const goOn of this.#heldOffers.splice(0)) goOn();
  }

  #peerUp(): void {
    this.#failures = 0;
    this.#options.dispatch({ type: 'media', media: 'up' });
  }

  /** Makes a new PeerConnection after a pause; when the signal connection is lost, once it is back. */
  #peerDown(): void {
    this.#closePeer();
    if (this.#over) return;
    this.#options.dispatch({ type: 'media', media: 'down' });
    this.#pause = setTimeout(
      () => {
        this.#pause = undefined;
        if (this.#connected && !this.#peer) this.#openPeer();
      },
      Math.min(longestPause, firstPause * 2 ** this.#failures++),
    );
  }

  #closePeer(): void {
    clearTimeout(this.#pause);
    const peer = this.#peer;
    this.#peer = undefined;
    peer?.close();
  }

  #hint({ connection, slots }: Slots): void {
    const peer = this.#peer;
    if (!peer || connection !== this.#peers) return;
    const hints = slots.flatMap(({ mid, pid, source }) => {
      const slot = peer.slotOfMid(mid);
      return slot === undefined ? [] : [{ slot, pid, source }];
    });
    this.#options.dispatch({ type: 'hints', hints });
  }

  #send(source: Source): void {
    // A PeerConnection that closes while the track is set has no use for it.
    this.#peer?.setTrack(source, this.#tracks.get(source) ?? null).catch(() => undefined);
  }

  #tellMute(source: Source): void {
    const muted = this.#muted.get(source) ?? true;
    this.#connection.tell({ type: 'mute', body: { source, muted } });
  }

  #finish(how: 'renew' | EndReason): void {
    if (this.#over) return;
    this.#over = true;
    this.#closePeer();
    this.#resumeOffers(); // to find that it is over
    this.#connection.leave();
    this.#options.encryption.stop();
    this.#options.onOver(how);
  }
}

function isSignalError(error: unknown): error is SignalError {
  return error instanceof SignalError;
}

/** Whether nobody knows what became of a request. */
function isLost(error: unknown): boolean {
  const code = isSignalError(error) ? error.code : undefined;
  return code === 'connection_lost' || code === 'timeout' || code === 'closed';
}

function isRateLimited(error: unknown): boolean {
  return isSignalError(error) && error.code === 'rate_limited';
}

const saidByServer = ['left', 'replaced', 'room_full', 'server_full'] as const;

function isEndReason(code: string): code is (typeof saidByServer)[number] {
  return saidByServer.some((reason) => reason === code);
}

function openPeer(iceServers: ICEServer[]): RTCPeerConnection {
  return new RTCPeerConnection(peerConnectionConfig(iceServers));
}
