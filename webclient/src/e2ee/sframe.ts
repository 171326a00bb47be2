// SFrame (RFC 9605) as far as a browser needs it beside WebCrypto: headers and nonces. The Go
// package e2ee/sframe is the same and is held to the same vectors.

/** The size in bytes of the authentication tag of AES_128_GCM_SHA256_128. */
export const tagSize = 16;

/** The size in bytes of nonce and salt. */
const nonceSize = 12;

interface Header {
  kid: number;
  ctr: number;
  /** How many bytes the header takes. */
  size: number;
}

// The config byte holds two fields of four bits: a flag, and the value or its length less one.
const extended = 0x8;
const maxInline = 0x7;

function fieldSize(value: number): number {
  if (value <= maxInline) return 0;
  let size = 1;
  for (let rest = Math.floor(value / 256); rest > 0; rest = Math.floor(rest / 256)) size++;
  return size;
}

const configBits = (value: number): number =>
  value <= maxInline ? value : extended | (fieldSize(value) - 1);

/** The size in bytes of a header in its shortest form. */
export const headerSize = (kid: number, ctr: number): number => 1 + fieldSize(kid) + fieldSize(ctr);

/**
 * Writes a header (RFC 9605, Section 4.3) in its shortest form and returns its size. Both values
 * are safe integers; out has room for headerSize.
 */
export function writeHeader(out: Uint8Array, kid: number, ctr: number): number {
  out[0] = (configBits(kid) << 4) | configBits(ctr);
  const afterKID = writeField(out, 1, kid);
  return writeField(out, afterKID, ctr);
}

function writeField(out: Uint8Array, at: number, value: number): number {
  const end = at + fieldSize(value);
  for (let i = end - 1; i >= at; i--) {
    out[i] = value % 256;
    value = Math.floor(value / 256);
  }
  return end;
}

/**
 * Reads the header at the start of data. Like RFC 9605 it takes fields that are longer than they
 * need to be. Undefined if data is cut short, or if a value is no safe integer.
 */
export function parseHeader(data: Uint8Array): Header | undefined {
  const config = data[0];
  if (config === undefined) return undefined;
  const kidSize = parsedSize(config >> 4);
  const ctrSize = parsedSize(config & 0xf);
  const size = 1 + kidSize + ctrSize;
  if (data.length < size) return undefined;
  const kid = kidSize === 0 ? config >> 4 : readField(data, 1, kidSize);
  const ctr = ctrSize === 0 ? config & 0xf : readField(data, 1 + kidSize, ctrSize);
  return Number.isSafeInteger(kid) && Number.isSafeInteger(ctr) ? { kid, ctr, size } : undefined;
}

const parsedSize = (bits: number): number => (bits & extended ? (bits & maxInline) + 1 : 0);

function readField(data: Uint8Array, at: number, size: number): number {
  let value = 0;
  for (let i = at; i < at + size; i++) value = value * 256 + (data[i] ?? 0);
  return value;
}

/** The salt XOR the counter (RFC 9605, Section 4.4.3). */
export function nonceOf(salt: Uint8Array, ctr: number): Uint8Array<ArrayBuffer> {
  const nonce = Uint8Array.from(salt);
  for (let i = nonceSize - 1; ctr > 0; i--) {
    nonce[i] = (nonce[i] ?? 0) ^ (ctr % 256);
    ctr = Math.floor(ctr / 256);
  }
  return nonce;
}
