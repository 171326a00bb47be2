// The messages to and from the Go core, in bytes: the format is that of the Go package
// e2ee/wasm/bridge, and both sides' tests read e2ee/wasm/bridge/testdata/messages.json.

import type { Commit, CommitEntry, Create, Entry, Join } from '../signal/generated';
import type { EntryRefused, Epoch, EpochStarted, Member, Post, Status } from './types';

/** What a session is made of. */
export interface Config {
  link: string;
  pid: string;
  name: string;
}

export type Input =
  | { type: 'log-opened'; logId: string; head: number }
  | { type: 'log-entry'; entry: Entry }
  | { type: 'posted'; seq: number; code?: string }
  | { type: 'tick' };

export type Output =
  | { type: 'post'; post: Post }
  | ({ type: 'epoch-started'; removed: number[] } & EpochStarted)
  | { type: 'send-epoch'; epoch: Epoch }
  | { type: 'epoch-ended'; epoch: Epoch }
  | ({ type: 'status' } & Status)
  | ({ type: 'entry-refused' } & EntryRefused);

/** Bytes that this worker owns alone. */
export type Bytes = Uint8Array<ArrayBuffer>;

export function encodeConfig({ link, pid, name }: Config): Bytes {
  const w = new Writer();
  w.text(link);
  w.text(pid);
  w.text(name);
  return w.bytes();
}

/**
 * What cannot be written becomes a message of no bytes. The core refuses it as it does every
 * malformed one, and stops.
 */
export function encodeInput(input: Input): Bytes {
  const w = new Writer();
  try {
    writeInput(w, input);
  } catch {
    return new Uint8Array();
  }
  return w.bytes();
}

function writeInput(w: Writer, input: Input): void {
  switch (input.type) {
    case 'log-opened':
      w.uint8(1);
      w.base64(input.logId);
      return w.uint64(input.head);
    case 'log-entry':
      w.uint8(2);
      return writeEntry(w, input.entry);
    case 'posted':
      w.uint8(3);
      w.uint32(input.seq);
      return w.text(input.code ?? '');
    case 'tick':
      return w.uint8(4);
  }
}

function writeEntry(w: Writer, entry: Entry): void {
  w.uint64(entry.position);
  w.uint64(entry.time);
  w.text(entry.pid);
  switch (entry.kind) {
    case 'joined':
      w.uint8(1);
      return writeJoin(w, present(entry.joined));
    case 'left':
      return w.uint8(2);
    case 'create':
      w.uint8(3);
      return writeCreate(w, present(entry.create));
    case 'commit':
      w.uint8(4);
      return writeCommit(w, present(entry.commit));
    default:
      throw new RangeError('an unknown kind of entry');
  }
}

function writeJoin(w: Writer, { keyPackage, mac }: Join): void {
  w.base64(keyPackage);
  w.base64(mac);
}

function writeCreate(w: Writer, { last, generation, groupId, mac }: Create): void {
  w.uint64(last);
  w.uint32(generation);
  w.base64(groupId);
  w.base64(mac);
}

function writeCommit(w: Writer, c: CommitEntry): void {
  w.uint64(c.last);
  w.uint32(c.generation);
  w.list(c.adds ?? [], (digest) => w.base64(digest));
  w.base64(c.commit ?? '');
  w.base64(c.commitDigest);
  w.base64(c.welcome ?? '');
  w.base64(c.welcomeDigest ?? '');
  w.base64(c.mac);
}

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new RangeError('an entry without its body');
  return value;
}

/** Reads an output. What throws here is a fault of this program: the core writes nothing else. */
export function decodeOutput(data: Bytes): Output {
  const r = new Reader(data);
  const output = readOutput(r);
  r.end();
  return output;
}

function readOutput(r: Reader): Output {
  const type = r.uint8();
  switch (type) {
    case 1:
      return { type: 'post', post: { seq: r.uint32(), ...readPost(r) } };
    case 2:
      return { type: 'epoch-started', ...readStarted(r) };
    case 3:
      return { type: 'send-epoch', epoch: readEpoch(r) };
    case 4:
      return { type: 'epoch-ended', epoch: readEpoch(r) };
    case 5:
      return { type: 'status', ...readStatus(r) };
    case 6:
      return { type: 'entry-refused', position: r.uint64(), pid: r.text(), code: r.text() };
  }
  throw new RangeError(`an unknown output: ${type}`);
}

type PostBody =
  | { type: 'join'; body: Join }
  | { type: 'create'; body: Create }
  | { type: 'commit'; body: Commit };

function readPost(r: Reader): PostBody {
  const kind = r.uint8();
  switch (kind) {
    case 1:
      return { type: 'join', body: { keyPackage: r.base64(), mac: r.base64() } };
    case 2:
      return { type: 'create', body: readCreate(r) };
    case 3:
      return { type: 'commit', body: readCommit(r) };
  }
  throw new RangeError(`an unknown post: ${kind}`);
}

function readCreate(r: Reader): Create {
  return { last: r.uint64(), generation: r.uint32(), groupId: r.base64(), mac: r.base64() };
}

function readCommit(r: Reader): Commit {
  const place = { last: r.uint64(), generation: r.uint32() };
  const adds = r.list(() => r.base64());
  const commit = r.base64();
  const welcome = r.base64();
  return {
    ...place,
    ...(adds.length > 0 ? { adds } : {}),
    commit,
    ...(welcome === '' ? {} : { welcome }),
    mac: r.base64(),
  };
}

function readStarted(r: Reader): EpochStarted & { removed: number[] } {
  return {
    epoch: readEpoch(r),
    own: r.uint32(),
    members: r.list(() => readMember(r)),
    removed: r.list(() => r.uint32()),
    safetyNumber: r.text(),
  };
}

function readMember(r: Reader): Member {
  return { leaf: r.uint32(), pid: r.text(), name: r.text(), device: r.base64() };
}

function readEpoch(r: Reader): Epoch {
  return { generation: r.uint32(), number: r.uint64() };
}

function readStatus(r: Reader): Status {
  const state = r.text() as Status['state']; // the core has no others
  const code = r.text();
  return code === '' ? { state } : { state, code };
}

/** Appends fields, numbers big endian. It throws a RangeError or a DOMException. */
class Writer {
  #data = new DataView(new ArrayBuffer(256));
  #length = 0;

  bytes(): Bytes {
    return new Uint8Array(this.#data.buffer, 0, this.#length);
  }

  uint8(value: number): void {
    this.#grow(1).setUint8(this.#length - 1, value);
  }

  uint32(value: number): void {
    if (!isNatural(value) || value > 0xffffffff) throw new RangeError('not a uint32');
    this.#grow(4).setUint32(this.#length - 4, value);
  }

  uint64(value: number): void {
    if (!isNatural(value)) throw new RangeError('not a whole number');
    this.#grow(8).setBigUint64(this.#length - 8, BigInt(value));
  }

  text(value: string): void {
    this.#sized(new TextEncoder().encode(value));
  }

  base64(value: string): void {
    this.#sized(Uint8Array.from(atob(value), (c) => c.charCodeAt(0)));
  }

  list<T>(items: T[], write: (item: T) => void): void {
    this.uint32(items.length);
    for (const item of items) write(item);
  }

  #sized(bytes: Uint8Array): void {
    this.uint32(bytes.length);
    const { buffer } = this.#grow(bytes.length);
    new Uint8Array(buffer).set(bytes, this.#length - bytes.length);
  }

  /** Makes place for n bytes more: they end at #length. */
  #grow(n: number): DataView<ArrayBuffer> {
    this.#length += n;
    if (this.#length > this.#data.byteLength) {
      const larger = new Uint8Array(2 * this.#length);
      larger.set(new Uint8Array(this.#data.buffer));
      this.#data = new DataView(larger.buffer);
    }
    return this.#data;
  }
}

const isNatural = (value: number): boolean => Number.isSafeInteger(value) && value >= 0;

/** Takes a message apart, numbers big endian. It throws a RangeError past the end. */
class Reader {
  readonly #data: DataView<ArrayBuffer>;
  #at = 0;

  constructor(bytes: Bytes) {
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** Checks that nothing is left over. */
  end(): void {
    if (this.#at !== this.#data.byteLength) throw new RangeError('bytes left over');
  }

  uint8(): number {
    return this.#data.getUint8(this.#skip(1));
  }

  uint32(): number {
    return this.#data.getUint32(this.#skip(4));
  }

  uint64(): number {
    return Number(this.#data.getBigUint64(this.#skip(8)));
  }

  text(): string {
    return new TextDecoder('utf-8', { ignoreBOM: true }).decode(this.#sized());
  }

  base64(): string {
    let text = '';
    for (const byte of this.#sized()) text += String.fromCharCode(byte);
    return btoa(text);
  }

  list<T>(read: () => T): T[] {
    const items: T[] = [];
    for (let n = this.uint32(); n > 0; n--) items.push(read());
    return items;
  }

  #sized(): Bytes {
    const length = this.uint32();
    const { buffer, byteOffset } = this.#data;
    return new Uint8Array(buffer, byteOffset + this.#skip(length), length);
  }

  /** Where the next n bytes begin. */
  #skip(n: number): number {
    const at = this.#at;
    this.#at += n;
    if (this.#at > this.#data.byteLength) throw new RangeError('a message cut short');
    return at;
  }
}
