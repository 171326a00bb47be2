import { MaxRoomName } from '../signal/generated';
import { decodeBase64url, encodeBase64url } from './base64';

// A meeting link is https://host/r/<room>#<fragment>. The fragment, base64url without padding, is
//
//   format u8 | link version u16 | secret[16] | host key hash[16]
//
// and never leaves the browser: no request carries it.

/** A link that can be joined by. `href` holds the secret: it is shown and copied, never logged. */
export interface MeetingLink {
  readonly room: string;
  readonly href: string;
}

/** Why a link cannot be joined by. */
export type LinkFault = 'not-a-link' | 'bad-room' | 'no-secret' | 'bad-secret' | 'newer-format';

const secretLength = 16;
const fragmentLength = 1 + 2 + secretLength + 16;
const roomPattern = new RegExp(`^[A-Za-z0-9_-]{1,${MaxRoomName}}$`);
/** The MLS suites that a link can fix, and the formats by which it does. */
const formats: ReadonlyMap<string, number> = new Map([
  ['0xF00E', 3], // X-Wing: post-quantum
  ['0x0003', 1], // X25519, ChaCha20-Poly1305
  ['0x0001', 2], // X25519, AES-128-GCM
]);
const knownFormats = [...formats.values()];
const defaultSuite = '0xF00E';
const roomAlphabet = 'abcdefghijklmnopqrstuvwxyz234567'; // RFC 4648, Section 6, in lower case
const roomLength = 10; // 50 bits: not guessed, still short enough to say

/** Reads a link; a fault says what is wrong with it. */
export function parseLink(text: string): MeetingLink | LinkFault {
  let url: URL;
  try {
    url = new URL(text.trim());
  } catch {
    return 'not-a-link';
  }
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'not-a-link';
  const room = /^\/r\/([^/]*)$/.exec(url.pathname)?.[1];
  if (room === undefined) return 'not-a-link';
  if (!roomPattern.test(room)) return 'bad-room';
  const href = `${url.origin}/r/${room}${url.hash}`;
  return checkFragment(url.hash.slice(1)) ?? { room, href };
}

function checkFragment(fragment: string): LinkFault | undefined {
  if (fragment === '') return 'no-secret';
  const bytes = decodeBase64url(fragment);
  if (!bytes || bytes.length === 0) return 'bad-secret';
  const view = new DataView(bytes.buffer);
  if (!knownFormats.includes(view.getUint8(0))) return 'newer-format';
  const complete = bytes.length === fragmentLength && view.getUint16(1) > 0;
  return complete ? undefined : 'bad-secret';
}

/**
 * Makes a new meeting on this origin. Its secret is made here, and nobody else knows it.
 * A suite that is not known is not taken: the default is.
 */
export function newLink(
  origin: string,
  suite = defaultSuite,
  fill: (bytes: Uint8Array) => void = fillRandom,
): string {
  const bytes = new Uint8Array(fragmentLength);
  bytes[0] = formats.get(suite) ?? formats.get(defaultSuite) ?? 0;
  bytes[2] = 1; // the first link version
  fill(bytes.subarray(3, 3 + secretLength)); // the host key hash stays zero: no host
  return `${origin}/r/${newRoomName(fill)}#${encodeBase64url(bytes)}`;
}

function newRoomName(fill: (bytes: Uint8Array) => void): string {
  const bytes = new Uint8Array(roomLength);
  fill(bytes);
  return Array.from(bytes, (b) => roomAlphabet[b % roomAlphabet.length]).join('');
}

/** A fresh participant id: 16 random bytes as 22 characters. */
export function newPID(): string {
  const bytes = new Uint8Array(16);
  fillRandom(bytes);
  return encodeBase64url(bytes);
}

function fillRandom(bytes: Uint8Array): void {
  crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>);
}
