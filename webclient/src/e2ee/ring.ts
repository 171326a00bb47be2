import {
  authenticated,
  clearPrefix,
  type Context,
  fits,
  makeKID,
  maxCTR,
  maxLeaf,
  parseClaim,
  ReplayWindow,
} from './framecrypt';
import { headerSize, nonceOf, tagSize, writeHeader } from './sframe';
import {
  before,
  type Epoch,
  type FrameCode,
  kindOf,
  sameEpoch,
  type Source,
  sources,
} from './types';

/** A key and a salt as the Go core derives them. The ring erases both. */
export interface KeyBytes {
  key: Uint8Array<ArrayBuffer>;
  salt: Uint8Array<ArrayBuffer>;
  epoch: Epoch;
}

/** Asks the Go core for the key of a KID, or learns why there is none. */
type KeySource = (kid: number) => KeyBytes | FrameCode;

/** What an opened frame proves about itself, to all outside the group. */
export interface Info {
  kid: number;
  ctr: number;
  epoch: Epoch;
  leaf: number;
  source: Source;
}

type Sealed = { ok: true; data: ArrayBuffer } | { ok: false; code: FrameCode };
export type Opened =
  | { ok: true; data: ArrayBuffer; info?: Info }
  // early: no live epoch fits, and one that does may start soon.
  | { ok: false; code: FrameCode; early?: true };

interface FrameKey {
  readonly key: CryptoKey;
  readonly salt: Uint8Array;
}

interface SendKey extends FrameKey {
  readonly kid: number;
  next: number;
}

/** What is known of one KID of another member. */
interface Stream extends FrameKey {
  readonly window: ReplayWindow;
}

interface LiveEpoch {
  readonly id: Epoch;
  readonly own: number;
  readonly members: ReadonlySet<number>;
  /** Leaves that a later epoch has removed. */
  readonly refused: Set<number>;
  /** Where the counters of each context start. */
  readonly from: readonly number[];
  send: readonly SendKey[] | undefined;
  /** KIDs of which a frame was authentic: at most four a member. */
  readonly streams: Map<number, Stream>;
  /** KIDs that were only claimed, oldest first. */
  readonly claimed: Map<number, Promise<Stream | FrameCode>>;
}

/** How many epochs are kept at most: the oldest make room. */
const maxEpochs = 16;

/** How many keys are kept for an epoch whose KIDs nobody has proven yet. */
const maxClaimed = 64;

const refusal = (code: FrameCode): { ok: false; code: FrameCode } => ({ ok: false, code });

const residue = (id: Epoch): number => id.number % 64;

const tagBits = tagSize * 8;

/**
 * The frame keys of the live epochs in the worker: those of the Go package framecrypt, as
 * non-extractable keys of WebCrypto. The Go core's own ring is turned first, then this one.
 */
export class Ring {
  readonly #keyFor: KeySource;
  #live: LiveEpoch[] = []; // oldest first
  #sending: LiveEpoch | undefined;
  #newest: Epoch | undefined; // of all that were ever started
  /** One more than the highest counter ever used in each context. */
  readonly #used = sources.map(() => 0);

  constructor(keyFor: KeySource) {
    this.#keyFor = keyFor;
  }

  /** The epoch that frames are sealed under. */
  get sending(): Epoch | undefined {
    return this.#sending?.id;
  }

  /** Adds an epoch; see Ring.Start of the Go package. False: it cannot be, nothing has changed. */
  start(id: Epoch, own: number, members: readonly number[], removed: readonly number[]): boolean {
    if (!members.includes(own) || members.some((leaf) => leaf > maxLeaf)) return false;
    if (this.#newest && id.generation < this.#newest.generation) return false;
    this.#endIf(
      (e) =>
        e.id.generation !== id.generation || !before(e.id, id) || residue(e.id) === residue(id),
    );
    if (this.#live.length === maxEpochs) this.#makeRoom();
    for (const e of this.#live) for (const leaf of removed) refuse(e, leaf);
    const isNewest = !this.#newest || before(this.#newest, id);
    if (isNewest) this.#newest = id;
    this.#live.push({
      id,
      own,
      members: new Set(members),
      refused: new Set(),
      from: isNewest ? sources.map(() => 0) : [...this.#used],
      send: undefined,
      streams: new Map(),
      claimed: new Map(),
    });
    return true;
  }

  /**
   * Seals under a live epoch from now on, never again under an older one. Resolved with false if
   * that cannot be: the epoch is unknown, has ended, or has been passed over.
   */
  async sendWith(id: Epoch): Promise<boolean> {
    const e = this.#find(id);
    if (!e || this.#isPast(e)) return false;
    const send = e.send ?? (await this.#sendKeys(e));
    if (!send || !this.#live.includes(e) || this.#isPast(e)) return false;
    e.send ??= send;
    this.#sending = e;
    return true;
  }

  /** Forgets the keys of an epoch. */
  end(id: Epoch): void {
    this.#endIf((e) => sameEpoch(e.id, id));
  }

  /** Forgets all keys. */
  erase(): void {
    this.#endIf(() => true);
  }

  /**
   * Seals a frame. The counter is taken before anything is awaited. An empty frame stays empty.
   */
  async seal(context: Context, codec: number, frame: ArrayBuffer): Promise<Sealed> {
    const e = this.#sending;
    const send = e?.send?.[context];
    if (!e || (!send && context < sources.length)) return refusal('no_send_key');
    if (!send || !fits(context, codec)) return refusal('codec_unsupported');
    if (frame.byteLength === 0) return { ok: true, data: frame };
    const bytes = new Uint8Array(frame);
    const clear = clearPrefix(codec, bytes);
    if (typeof clear !== 'number') return refusal(clear);
    if (send.next > maxCTR) return refusal('no_send_key');
    const ctr = send.next++;
    this.#used[context] = Math.max(this.#used[context] ?? 0, send.next);

    const start = clear + headerSize(send.kid, ctr);
    const out = new Uint8Array(start + bytes.length - clear + tagSize);
    out.set(bytes.subarray(0, clear));
    writeHeader(out.subarray(clear), send.kid, ctr);
    const rest = await crypto.subtle.encrypt(
      {
        name: 'AES-GCM',
        iv: nonceOf(send.salt, ctr),
        additionalData: authenticated(out.subarray(clear, start), codec, bytes.subarray(0, clear)),
        tagLength: tagBits,
      },
      send.key,
      bytes.subarray(clear),
    );
    out.set(new Uint8Array(rest), start);
    return { ok: true, data: out.buffer };
  }

  /** Opens a sealed frame under its one key. An empty frame stays empty and proves nothing. */
  async open(codec: number, frame: ArrayBuffer): Promise<Opened> {
    if (frame.byteLength === 0) return { ok: true, data: frame };
    const bytes = new Uint8Array(frame);
    const clear = clearPrefix(codec, bytes);
    if (typeof clear !== 'number') return refusal(clear);
    const claim = parseClaim(bytes.subarray(clear));
    if (typeof claim === 'string') return refusal(claim);
    const { kid, ctr, leaf, context } = claim;
    const e = this.#live.find((live) => residue(live.id) === claim.residue);
    if (!e) return { ok: false, code: 'missing_key', early: true };
    if (leaf === e.own) return refusal('missing_key');
    const denied = admit(e, leaf);
    if (denied) return refusal(denied);
    if (!fits(context, codec)) return refusal('decrypt_failed');
    const stream = e.streams.get(kid) ?? (await this.#claimed(e, kid, context));
    if (typeof stream === 'string') return refusal(stream);
    if (!stream.window.fresh(ctr)) return refusal('replayed');

    const start = clear + claim.headerSize;
    const rest = await crypto.subtle
      .decrypt(
        {
          name: 'AES-GCM',
          iv: nonceOf(stream.salt, ctr),
          additionalData: authenticated(
            bytes.subarray(clear, start),
            codec,
            bytes.subarray(0, clear),
          ),
          tagLength: tagBits,
        },
        stream.key,
        bytes.subarray(start),
      )
      .catch(() => undefined);
    if (!rest) return refusal('decrypt_failed');
    // While that was awaited the epoch may have ended, the leaf may have been removed, and the
    // same frame may have been opened in another slot.
    if (!this.#live.includes(e)) return refusal('missing_key');
    const late = admit(e, leaf);
    if (late) return refusal(late);
    const proven = e.streams.get(kid) ?? stream;
    if (!proven.window.take(ctr)) return refusal('replayed');
    e.streams.set(kid, proven);
    e.claimed.delete(kid);

    const out = new Uint8Array(clear + rest.byteLength);
    out.set(bytes.subarray(0, clear));
    out.set(new Uint8Array(rest), clear);
    const source = sources[context] ?? 'mic'; // fits() has looked
    return { ok: true, data: out.buffer, info: { kid, ctr, epoch: e.id, leaf, source } };
  }

  /** The stream of a KID that nobody has proven yet. Frames that come together share it. */
  #claimed(e: LiveEpoch, kid: number, context: Context): Promise<Stream | FrameCode> {
    const known = e.claimed.get(kid);
    if (known) return known;
    const source = sources[context] ?? 'mic';
    const claimed = this.#import(e, kid, 'decrypt').then((key) =>
      typeof key === 'string' ? key : { ...key, window: new ReplayWindow(kindOf(source)) },
    );
    e.claimed.set(kid, claimed);
    void claimed.then(
      (got) => {
        if (typeof got === 'string' && e.claimed.get(kid) === claimed) e.claimed.delete(kid);
      },
      () => undefined,
    );
    const [oldest] = e.claimed.keys();
    if (e.claimed.size > maxClaimed && oldest !== undefined) e.claimed.delete(oldest);
    return claimed;
  }

  async #sendKeys(e: LiveEpoch): Promise<SendKey[] | undefined> {
    const keys = sources.map(async (_, context) => {
      const kid = makeKID(context, e.own, e.id.number);
      const key = await this.#import(e, kid, 'encrypt');
      return typeof key === 'string' ? undefined : { ...key, kid, next: e.from[context] ?? 0 };
    });
    const all = await Promise.all(keys);
    return all.every((key) => key !== undefined) ? all : undefined;
  }

  /** Derives a key and makes it one of WebCrypto that cannot be read back. */
  async #import(
    e: LiveEpoch,
    kid: number,
    usage: 'encrypt' | 'decrypt',
  ): Promise<FrameKey | FrameCode> {
    const bytes = this.#keyFor(kid);
    if (typeof bytes === 'string') return bytes;
    try {
      if (!sameEpoch(bytes.epoch, e.id)) return 'missing_key';
      const salt = Uint8Array.from(bytes.salt);
      const key = await crypto.subtle.importKey('raw', bytes.key, 'AES-GCM', false, [usage]);
      return { key, salt };
    } finally {
      bytes.key.fill(0);
      bytes.salt.fill(0);
    }
  }

  #isPast(e: LiveEpoch): boolean {
    return this.#sending !== undefined && before(e.id, this.#sending.id);
  }

  #find(id: Epoch): LiveEpoch | undefined {
    return this.#live.find((e) => sameEpoch(e.id, id));
  }

  /** Ends the oldest epoch, but not the one to send with. */
  #makeRoom(): void {
    const oldest = this.#live.find((e) => e !== this.#sending);
    this.#endIf((e) => e === oldest);
  }

  #endIf(ends: (e: LiveEpoch) => boolean): void {
    this.#live = this.#live.filter((e) => {
      if (!ends(e)) return true;
      e.send = undefined;
      e.streams.clear();
      e.claimed.clear();
      if (this.#sending === e) this.#sending = undefined;
      return false;
    });
  }
}

/** Why frames of a leaf are not opened in this epoch, if so. */
function admit(e: LiveEpoch, leaf: number): FrameCode | undefined {
  if (e.refused.has(leaf)) return 'removed';
  return e.members.has(leaf) ? undefined : 'missing_key';
}

/** Ends what a leaf of this epoch can still send. */
function refuse(e: LiveEpoch, leaf: number): void {
  e.refused.add(leaf);
  for (const context of sources.keys()) {
    const kid = makeKID(context, leaf, e.id.number);
    e.streams.delete(kid);
    e.claimed.delete(kid);
  }
}
