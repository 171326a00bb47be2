import { describe, expect, it } from 'vitest';
import {
  clearPrefix,
  Codec,
  codecOf,
  fits,
  makeKID,
  maxLeaf,
  parseClaim,
  ReplayWindow,
} from './framecrypt';
import { headerSize, writeHeader } from './sframe';
import { bytes, golden, hex } from './testing/golden';
import { derive } from './testing/keys';
import { kindOf, sources } from './types';

describe('KID', () => {
  it('is laid out as in the Go implementation', () => {
    for (const { context, leaf, epoch, kid } of golden.keys) {
      expect(makeKID(context, leaf, epoch)).toBe(kid);
    }
  });

  it('names the keys of the Go implementation', () => {
    for (const { baseKey, kid, key, salt } of golden.keys) {
      const derived = derive(bytes(baseKey), kid);
      expect([hex(derived.key), hex(derived.salt)]).toEqual([key, salt]);
    }
  });

  it('comes out of a header as it went in', () => {
    for (const context of sources.keys()) {
      for (const leaf of [0, 1, 511, maxLeaf]) {
        for (const epoch of [0, 63, 64, 2 ** 40 + 5]) {
          const kid = makeKID(context, leaf, epoch);
          const data = new Uint8Array(headerSize(kid, 300) + 16);
          writeHeader(data, kid, 300);
          const residue = epoch % 64;
          const header = data.length - 16;
          const claim = { kid, ctr: 300, context, leaf, residue, headerSize: header };
          expect(parseClaim(data)).toEqual(claim);
        }
      }
    }
  });
});

describe('codecs', () => {
  it('are known by their MIME types', () => {
    expect(codecOf('video/VP8')).toBe(Codec.vp8);
    expect(codecOf('audio/opus')).toBe(Codec.opus);
    for (const other of ['audio/red', 'video/rtx', 'video/VP88', '', 'VP8', 'constructor']) {
      expect(codecOf(other)).toBeUndefined();
    }
  });

  it.each([
    ['Opus', Codec.opus, 'fc', 0],
    ['VP8 key frame', Codec.vp8, '10'.padEnd(20, '0'), 10],
    ['VP8 key frame, too short', Codec.vp8, '10'.padEnd(18, '0'), 'short_frame'],
    ['VP8 delta', Codec.vp8, '110000', 3],
    ['VP8 delta, too short', Codec.vp8, '1100', 'short_frame'],
    ['VP8, empty', Codec.vp8, '', 'short_frame'],
    ['VP9', Codec.vp9, '82', 0],
    ['AV1', Codec.av1, '1200', 'codec_unsupported'],
    ['H264', Codec.h264, '00000001', 'codec_unsupported'],
    ['none', 0, '00', 'codec_unsupported'],
  ])('%s', (_, codec, frame, want) => {
    expect(clearPrefix(codec, bytes(frame))).toBe(want);
  });

  it('fit contexts of their kind only', () => {
    const fitting = sources.flatMap((source, context) =>
      Object.values(Codec).flatMap((codec) => (fits(context, codec) ? [`${source} ${codec}`] : [])),
    );
    expect(fitting).toEqual(
      sources.flatMap((s) => (kindOf(s) === 'audio' ? [1] : [2, 3, 4, 5]).map((c) => `${s} ${c}`)),
    );
    expect(fits(4, Codec.vp8)).toBe(false);
  });
});

describe('ReplayWindow', () => {
  it.each(golden.windows)('is that of the Go implementation (context $context)', (w) => {
    const window = new ReplayWindow(kindOf(sources[w.context]!));
    const got = w.ctrs.map((ctr) => {
      const fresh = window.fresh(ctr);
      expect(window.take(ctr)).toBe(fresh);
      return fresh ? '1' : '0';
    });
    expect(got.join('')).toBe(w.fresh);
  });

  it('does not move when asked', () => {
    const window = new ReplayWindow('audio');
    window.take(200);
    for (let ctr = 0; ctr < 1000; ctr++) window.fresh(ctr);
    expect(window.take(73)).toBe(true);
    expect(window.take(72)).toBe(false);
  });
});
