import { hkdfSync } from 'node:crypto';
import type { KeyBytes } from '../ring';
import { type Epoch, type FrameCode } from '../types';

/** What the Go core's ring does for the worker, as far as tests need it. */
export class TestKeys {
  readonly #epochs: { id: Epoch; baseKey: Uint8Array }[] = [];
  /** Every array that was handed out: whoever took it erases it. */
  readonly given: Uint8Array[] = [];
  /** How often a key was asked for. */
  asked = 0;

  start(id: Epoch, baseKey: Uint8Array): void {
    this.#epochs.push({ id, baseKey });
  }

  /** Derives as RFC 9605, Section 4.4.2 says, for the newest epoch that fits. */
  readonly keyFor = (kid: number): KeyBytes | FrameCode => {
    this.asked++;
    const epoch = this.#epochs.findLast(({ id }) => id.number % 64 === kid % 64);
    if (!epoch) return 'missing_key';
    const { key, salt } = derive(epoch.baseKey, kid);
    this.given.push(key, salt);
    return { key, salt, epoch: epoch.id };
  };
}

export function derive(
  baseKey: Uint8Array,
  kid: number,
): { key: Uint8Array<ArrayBuffer>; salt: Uint8Array<ArrayBuffer> } {
  const expand = (what: string, size: number) => {
    const suffix = Buffer.alloc(10);
    suffix.writeBigUInt64BE(BigInt(kid));
    suffix.writeUInt16BE(4, 8); // AES_128_GCM_SHA256_128
    const label = Buffer.concat([Buffer.from(`SFrame 1.0 Secret ${what} `), suffix]);
    return new Uint8Array(hkdfSync('sha256', baseKey, '', label, size));
  };
  return { key: expand('key', 16), salt: expand('salt', 12) };
}
