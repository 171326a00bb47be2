// The rules of a frame: what stays in clear, what a KID says, what is a replay. The Go package
// e2ee/framecrypt is the same and is held to the same cases.

import { headerSize, parseHeader, tagSize } from './sframe';
import { type FrameCode, type Kind, kindOf, sources } from './types';

/** The byte that is authenticated with each frame and not sent. */
export const Codec = { opus: 1, vp8: 2, vp9: 3, av1: 4, h264: 5 } as const;
export type Codec = (typeof Codec)[keyof typeof Codec];

const mimeTypes: ReadonlyMap<string, Codec> = new Map([
  ['audio/opus', Codec.opus],
  ['video/vp8', Codec.vp8],
  ['video/vp9', Codec.vp9],
  ['video/av1', Codec.av1],
  ['video/h264', Codec.h264],
]);

/** The codec of a MIME type; undefined for one that has no number: its frames are dropped. */
export const codecOf = (mimeType: string): Codec | undefined =>
  mimeTypes.get(mimeType.toLowerCase());

const codecKind = (codec: Codec): Kind => (codec === Codec.opus ? 'audio' : 'video');

// The clear bytes of VP8 (RFC 6386, Section 9.1): frame tag, and for a key frame start code and
// size too.
const vp8KeyFrameClear = 10;
const vp8DeltaClear = 3;

/**
 * How many bytes at the start of a frame stay in clear. It depends on these bytes alone, so it is
 * the same before sealing and after.
 */
export function clearPrefix(codec: number, frame: Uint8Array): number | FrameCode {
  switch (codec) {
    case Codec.opus:
    case Codec.vp9:
      return 0;
    case Codec.vp8: {
      const isKeyFrame = ((frame[0] ?? 1) & 1) === 0; // inverse key frame flag
      const size = isKeyFrame ? vp8KeyFrameClear : vp8DeltaClear;
      return frame.length < size ? 'short_frame' : size;
    }
    default:
      return 'codec_unsupported';
  }
}

/** The index of a source, which is its context in a KID. */
export type Context = number;

/** Whether a codec may carry frames of this context. */
export function fits(context: Context, codec: number): codec is Codec {
  const source = sources[context];
  return source !== undefined && kindOf(source) === codecKind(codec as Codec);
}

/** The highest leaf index that a KID has room for. */
export const maxLeaf = 1023;

/** The highest counter of a frame. */
export const maxCTR = 2 ** 48 - 1;

/** context << 16 | leaf << 6 | epoch mod 64. */
export const makeKID = (context: Context, leaf: number, epoch: number): number =>
  context * 0x10000 + leaf * 64 + (epoch % 64);

/** What a sealed frame claims in its SFrame header. Nothing of it is proven yet. */
interface Claim {
  kid: number;
  ctr: number;
  context: Context;
  leaf: number;
  /** The epoch's number mod 64. */
  residue: number;
  headerSize: number;
}

/** Reads what follows the clear bytes of a sealed frame. */
export function parseClaim(data: Uint8Array): Claim | FrameCode {
  if (data.length < 1 + tagSize) return 'short_frame';
  const h = parseHeader(data);
  if (!h) return 'unencrypted_frame';
  // Ours are written in the shortest form.
  if (h.size !== headerSize(h.kid, h.ctr) || h.ctr > maxCTR) return 'unencrypted_frame';
  const context = Math.floor(h.kid / 0x10000);
  if (context >= sources.length) return 'unencrypted_frame';
  if (data.length < h.size + tagSize) return 'short_frame';
  return {
    kid: h.kid,
    ctr: h.ctr,
    context,
    leaf: (h.kid >> 6) & maxLeaf,
    residue: h.kid & 63,
    headerSize: h.size,
  };
}

/** What is authenticated beside the frame: header, codec, clear bytes. */
export function authenticated(
  header: Uint8Array,
  codec: Codec,
  clear: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const aad = new Uint8Array(header.length + 1 + clear.length);
  aad.set(header);
  aad[header.length] = codec;
  aad.set(clear, header.length + 1);
  return aad;
}

const windowSize: Readonly<Record<Kind, number>> = { audio: 128, video: 512 };

/** Refuses counters that were seen before, or that are too far behind the highest. */
export class ReplayWindow {
  readonly #size: number;
  readonly #seen: Uint8Array;
  #next = 0; // the highest counter seen, plus one

  constructor(kind: Kind) {
    this.#size = windowSize[kind];
    this.#seen = new Uint8Array(this.#size);
  }

  /** Whether a frame of this counter may be opened. It changes nothing. */
  fresh(ctr: number): boolean {
    if (ctr >= this.#next) return true;
    return ctr + this.#size >= this.#next && this.#seen[ctr % this.#size] === 0;
  }

  /** Takes a counter whose frame was authentic; false if another frame was faster. */
  take(ctr: number): boolean {
    if (!this.fresh(ctr)) return false;
    if (ctr >= this.#next) this.#slide(ctr + 1);
    this.#seen[ctr % this.#size] = 1;
    return true;
  }

  #slide(next: number): void {
    if (next - this.#next >= this.#size) this.#seen.fill(0);
    else for (let i = this.#next; i < next; i++) this.#seen[i % this.#size] = 0;
    this.#next = next;
  }
}
