import { afterEach, describe, expect, it, vi } from 'vitest';
import { Codec, makeKID } from './framecrypt';
import { Ring } from './ring';
import { bytes, golden, hex, type Step } from './testing/golden';
import { TestKeys } from './testing/keys';
import { type Epoch, sources } from './types';

const epoch = (number: number, generation = 1): Epoch => ({ generation, number });
const baseKey = (fill: number) => new Uint8Array(16).fill(fill);
const opus = () => Uint8Array.from([0xfc, 1, 2, 3]).buffer;

/** A ring in one epoch, of a member who also sends. */
async function member(own: number, keys = new TestKeys(), id = epoch(1)) {
  keys.start(id, baseKey(id.number));
  const ring = new Ring(keys.keyFor);
  expect(ring.start(id, own, [3, 5], [])).toBe(true);
  expect(await ring.sendWith(id)).toBe(true);
  return { ring, keys };
}

async function sealed(ring: Ring, frame = opus()): Promise<ArrayBuffer> {
  const got = await ring.seal(0, Codec.opus, frame);
  if (!got.ok) throw new Error(got.code);
  return got.data;
}

const codeOf = async (ring: Ring, data: ArrayBuffer) => {
  const got = await ring.open(Codec.opus, data);
  return got.ok ? 'ok' : got.code;
};

afterEach(() => vi.restoreAllMocks());

describe('the golden cases of the Go implementation', () => {
  it.each(golden.scenarios)('$name', async ({ steps }) => {
    const keys = new TestKeys();
    const ring = new Ring(keys.keyFor);
    const usedKeys = new Set<string>();
    for (const [i, step] of steps.entries()) {
      // The Go core compares keys before the worker hears of an epoch.
      const hasKeyOfLive = step.do === 'start' && step.code && usedKeys.has(step.baseKey ?? '');
      if (hasKeyOfLive) continue;
      usedKeys.add(step.baseKey ?? '');
      expect(await answer(ring, keys, step), `step ${i}: ${JSON.stringify(step)}`).toEqual(
        expected(step),
      );
    }
    expect(keys.given.every((array) => array.every((b) => b === 0))).toBe(true);
  });

  const expected = ({ do: verb, code, sealed: wire, frame, info }: Step) => {
    if (code) return { code };
    if (verb === 'seal') return { data: wire ?? '' };
    if (verb !== 'open') return {};
    return { data: frame ?? '', ...(info ? { info } : {}) };
  };

  async function answer(ring: Ring, keys: TestKeys, step: Step): Promise<object> {
    const id = step.epoch ?? epoch(0);
    switch (step.do) {
      case 'start':
        if (!ring.start(id, step.own ?? 0, step.members ?? [], step.removed ?? [])) {
          return { code: 'epoch_refused' };
        }
        keys.start(id, bytes(step.baseKey));
        return {};
      case 'send':
        return (await ring.sendWith(id)) ? {} : { code: 'epoch_refused' };
      case 'end':
        ring.end(id);
        return {};
      case 'seal': {
        const got = await ring.seal(step.context ?? 0, step.codec ?? 0, bytes(step.frame).buffer);
        return got.ok ? { data: hex(got.data) } : { code: got.code };
      }
      case 'open': {
        const got = await ring.open(step.codec ?? 0, bytes(step.sealed).buffer);
        if (!got.ok) return { code: got.code };
        if (!got.info) return { data: hex(got.data) };
        const { source, ...info } = got.info;
        return { data: hex(got.data), info: { ...info, context: sources.indexOf(source) } };
      }
    }
  }
});

describe('Ring', () => {
  it('never uses a counter twice, whatever comes at once or fails', async () => {
    const { ring } = await member(3);
    const encrypt = vi.spyOn(crypto.subtle, 'encrypt');
    encrypt.mockRejectedValueOnce(new Error('no'));
    const frames = Array.from({ length: 50 }, () => ring.seal(0, Codec.opus, opus()));
    const results = await Promise.allSettled(frames);
    expect(results.filter(({ status }) => status === 'rejected')).toHaveLength(1);
    const nonces = encrypt.mock.calls.map(([algorithm]) =>
      hex((algorithm as AesGcmParams).iv as Uint8Array),
    );
    expect(new Set(nonces).size).toBe(50);
  });

  it('opens a frame once that is given twice at the same time', async () => {
    const { ring: a } = await member(3);
    const { ring: b } = await member(5);
    const frame = await sealed(a);
    const codes = await Promise.all([codeOf(b, frame), codeOf(b, frame.slice(0))]);
    expect(codes.sort()).toEqual(['ok', 'replayed']);
  });

  it('asks once for the key of frames that come together', async () => {
    const { ring: a } = await member(3);
    const { ring: b, keys } = await member(5);
    const before = keys.asked;
    const frames = await Promise.all(Array.from({ length: 20 }, () => sealed(a)));
    const codes = await Promise.all(frames.map((frame) => codeOf(b, frame)));
    expect(codes).toEqual(frames.map(() => 'ok'));
    expect(keys.asked).toBe(before + 1);
  });

  it('keeps one window for a KID whose claim was pushed out', async () => {
    const members = Array.from({ length: 200 }, (_, i) => i);
    const keys = new TestKeys();
    keys.start(epoch(1), baseKey(1));
    const b = new Ring(keys.keyFor);
    b.start(epoch(1), 5, members, []);
    const { ring: a } = await member(3);
    const frame = await sealed(a);
    const first = codeOf(b, frame);
    const forged = members.map((leaf) => {
      const data = new Uint8Array(40);
      data.set([0xa0, 0, 0]);
      const kid = makeKID(0, leaf, 1);
      data.set(kid < 256 ? [0x80, kid] : [0x90, kid >> 8, kid & 255]);
      return codeOf(b, data.buffer);
    });
    const second = codeOf(b, frame.slice(0));
    await Promise.all(forged);
    expect([await first, await second].sort()).toEqual(['ok', 'replayed']);
  });

  it('refuses a frame whose sender is removed while it is opened', async () => {
    const { ring: a } = await member(3);
    const { ring: b, keys } = await member(5);
    const opening = codeOf(b, await sealed(a));
    keys.start(epoch(2), baseKey(2));
    b.start(epoch(2), 5, [5], [3]);
    expect(await opening).toBe('removed');
  });

  it('refuses a frame whose epoch ends while it is opened', async () => {
    const { ring: a } = await member(3);
    const { ring: b } = await member(5);
    const opening = codeOf(b, await sealed(a));
    b.end(epoch(1));
    expect(await opening).toBe('missing_key');
  });

  it('does not send with an epoch that ends, or is passed over, while its keys are made', async () => {
    const keys = new TestKeys();
    const ring = new Ring(keys.keyFor);
    for (const number of [1, 2, 3]) {
      keys.start(epoch(number), baseKey(number));
      ring.start(epoch(number), 3, [3, 5], []);
    }
    const first = ring.sendWith(epoch(1));
    ring.end(epoch(1));
    expect(await first).toBe(false);
    expect(ring.sending).toBeUndefined();
    const both = await Promise.all([ring.sendWith(epoch(3)), ring.sendWith(epoch(2))]);
    expect(both[0]).toBe(true);
    expect(ring.sending).toEqual(epoch(3));
    expect(await ring.sendWith(epoch(2))).toBe(false);
  });

  it('seals nothing before its keys are there', async () => {
    const keys = new TestKeys();
    keys.start(epoch(1), baseKey(1));
    const ring = new Ring(keys.keyFor);
    ring.start(epoch(1), 3, [3, 5], []);
    const sending = ring.sendWith(epoch(1));
    expect(await ring.seal(0, Codec.opus, opus())).toEqual({ ok: false, code: 'no_send_key' });
    await sending;
    expect((await ring.seal(0, Codec.opus, opus())).ok).toBe(true);
    ring.erase();
    expect(await ring.seal(0, Codec.opus, opus())).toEqual({ ok: false, code: 'no_send_key' });
  });

  it('takes no key of another epoch', async () => {
    const keys = new TestKeys();
    keys.start(epoch(65), baseKey(1));
    const ring = new Ring(keys.keyFor);
    ring.start(epoch(1), 3, [3, 5], []);
    expect(await ring.sendWith(epoch(1))).toBe(false);
    expect(keys.given.every((array) => array.every((b) => b === 0))).toBe(true);
  });

  it('makes keys that cannot be read back', async () => {
    const importKey = vi.spyOn(crypto.subtle, 'importKey');
    const { ring: a } = await member(3);
    const { ring: b } = await member(5);
    expect(await codeOf(b, await sealed(a))).toBe('ok');
    expect(importKey).toHaveBeenCalledTimes(9);
    for (const [, , , extractable] of importKey.mock.calls) expect(extractable).toBe(false);
  });

  it('tells frames that are early from frames that are nobody’s', async () => {
    const { ring: a } = await member(3);
    const frame = await sealed(a);
    const b = new Ring(() => 'missing_key');
    expect(await b.open(Codec.opus, frame)).toEqual({
      ok: false,
      code: 'missing_key',
      early: true,
    });
    expect(await a.open(Codec.opus, frame)).toEqual({ ok: false, code: 'missing_key' });
  });
});
