import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { headerSize, nonceOf, parseHeader, writeHeader } from './sframe';
import { bytes, golden, hex } from './testing/golden';
import { derive } from './testing/keys';

const written = (kid: number, ctr: number): string => {
  const out = new Uint8Array(headerSize(kid, ctr));
  expect(writeHeader(out, kid, ctr)).toBe(out.length);
  return hex(out);
};

function checkHeader(kid: number, ctr: number, encoded: string): void {
  expect(written(kid, ctr)).toBe(encoded);
  const data = bytes(encoded);
  expect(parseHeader(data)).toEqual({ kid, ctr, size: data.length });
  expect(parseHeader(bytes(`${encoded}ffff`))).toEqual({ kid, ctr, size: data.length });
  for (let n = 0; n < data.length; n++) expect(parseHeader(data.subarray(0, n))).toBeUndefined();
}

describe('header', () => {
  it('is that of the Go implementation', () => {
    expect(golden.headers.length).toBeGreaterThan(100);
    for (const { kid, ctr, encoded } of golden.headers) checkHeader(kid, ctr, encoded);
  });

  it('may be longer than need be when read', () => {
    expect(parseHeader(bytes('950005'))).toEqual({ kid: 5, ctr: 5, size: 3 });
    expect(parseHeader(bytes(`ff${'00'.repeat(16)}`))).toEqual({ kid: 0, ctr: 0, size: 17 });
  });

  it('with a value that a number cannot hold is none', () => {
    expect(parseHeader(bytes(`f0${'ff'.repeat(8)}`))).toBeUndefined();
    expect(parseHeader(bytes('0f0020000000000000'))).toBeUndefined();
    expect(parseHeader(bytes('0e1fffffffffffff'))?.ctr).toBe(Number.MAX_SAFE_INTEGER);
  });

  it('of any bytes is none, or is what it writes', () => {
    let seed = 1;
    const next = () => (seed = (seed * 48271) % 0x7fffffff) & 0xff;
    for (let i = 0; i < 5000; i++) {
      const data = Uint8Array.from({ length: next() % 20 }, next);
      const h = parseHeader(data);
      if (h?.size !== headerSize(h?.kid ?? 0, h?.ctr ?? 0)) continue;
      expect(written(h.kid, h.ctr)).toBe(hex(data.subarray(0, h.size)));
    }
  });
});

const vectors = new URL('../../../../shared/vectors/sframe/test-vectors.json', import.meta.url);

// They lie beside the repository; where they do not, the golden cases of the Go tests remain.
describe.skipIf(!existsSync(vectors))('RFC 9605', () => {
  const load = () =>
    JSON.parse(readFileSync(vectors, 'utf8')) as {
      header: { kid: number; ctr: number; encoded: string }[];
      sframe: (Record<'base_key' | 'sframe_key' | 'sframe_salt' | 'nonce', string> &
        Record<'aad' | 'metadata' | 'pt' | 'ct', string> &
        Record<'cipher_suite' | 'kid' | 'ctr', number>)[];
    };

  it('header vectors', () => {
    const { header } = load();
    const small = header.filter((v) => Number.isSafeInteger(v.kid) && Number.isSafeInteger(v.ctr));
    expect(small.length).toBeGreaterThan(100);
    for (const { kid, ctr, encoded } of small) checkHeader(kid, ctr, encoded);
    for (const v of header)
      if (!small.includes(v)) expect(parseHeader(bytes(v.encoded))).toBeUndefined();
  });

  it('vector of AES_128_GCM_SHA256_128', async () => {
    const v = load().sframe.find((one) => one.cipher_suite === 4)!;
    const { key, salt } = derive(bytes(v.base_key), v.kid);
    expect([hex(key), hex(salt)]).toEqual([v.sframe_key, v.sframe_salt]);
    const iv = nonceOf(salt, v.ctr);
    expect(hex(iv)).toBe(v.nonce);
    const header = bytes(written(v.kid, v.ctr));
    expect(hex(header) + v.metadata).toBe(v.aad);
    const imported = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt']);
    const sealed = await crypto.subtle.encrypt(
      { name: 'AES-GCM', iv, additionalData: bytes(v.aad), tagLength: 128 },
      imported,
      bytes(v.pt),
    );
    expect(hex(header) + hex(sealed)).toBe(v.ct);
  });
});
