import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { TransformOptions, TransformReport } from './messages';
import { Ring } from './ring';
import { TestKeys } from './testing/keys';
import { earlyBytes, earlyWait, type Shared, Transform } from './transform';
import type { EncodedFrame, Epoch } from './types';

const epoch = (number: number): Epoch => ({ generation: 1, number });
const key = (number: number) => new Uint8Array(16).fill(number);

type Metadata = ReturnType<EncodedFrame['getMetadata']>;

const frame = (data: ArrayBuffer, metadata: Metadata = { mimeType: 'audio/opus' }) => ({
  data,
  getMetadata: () => metadata,
});
const opus = (n: number) => Uint8Array.from([0xfc, n]).buffer;
const contentOf = ({ data }: EncodedFrame) => [...new Uint8Array(data)];

/** A worker's part of one transform: what goes in, what came out, what was told. */
class Bench {
  readonly keys = new TestKeys();
  readonly out: EncodedFrame[] = [];
  readonly reports: TransformReport[] = [];
  readonly failures: unknown[] = [];
  readonly wanted: number[] = [];
  readonly shared: Shared;
  readonly transform: Transform;
  onWrite: () => void = () => undefined;
  readonly #writer: WritableStreamDefaultWriter<EncodedFrame>;

  constructor(options: TransformOptions, shared?: Shared) {
    this.shared = shared ?? {
      ring: new Ring(this.keys.keyFor),
      early: 0,
      running: true,
      pidOf: ({ leaf }) => `pid ${leaf}`,
      report: (report) => this.reports.push(report),
      wantCodecs: (id) => this.wanted.push(id),
      fail: (error) => {
        this.failures.push(error);
        this.shared.running = false;
      },
    };
    const input = new TransformStream<EncodedFrame, EncodedFrame>();
    this.#writer = input.writable.getWriter();
    this.transform = new Transform(options, this.shared);
    const sink = new WritableStream<EncodedFrame>({
      write: (f) => {
        this.onWrite();
        this.out.push(f);
      },
    });
    void this.transform.run(input.readable, sink);
  }

  async start(number: number, own: number, members = [3, 5]): Promise<void> {
    this.keys.start(epoch(number), key(number));
    expect(this.shared.ring.start(epoch(number), own, members, [])).toBe(true);
    await this.transform.retry();
  }

  /** Puts frames in, and waits until they are through or wait for an epoch. */
  async put(...frames: EncodedFrame[]): Promise<void> {
    await Promise.all(frames.map((one) => this.#writer.write(one)));
    await new Promise((resolve) => setImmediate(resolve));
    await this.transform.retry();
  }

  get last(): TransformReport | undefined {
    this.transform.tell();
    return this.reports.at(-1);
  }
}

/** Frames as a member at leaf 3 seals them. */
async function sealed(number: number, count: number, leaf = 3): Promise<ArrayBuffer[]> {
  const keys = new TestKeys();
  keys.start(epoch(number), key(number));
  const ring = new Ring(keys.keyFor);
  ring.start(epoch(number), leaf, [3, 5, 7], []);
  await ring.sendWith(epoch(number));
  const all: ArrayBuffer[] = [];
  for (let i = 0; i < count; i++) {
    const got = await ring.seal(0, 1, opus(i));
    if (got.ok) all.push(got.data);
  }
  return all;
}

const sender: TransformOptions = { id: 1, direction: 'send', source: 'mic', kind: 'audio' };
const receiver: TransformOptions = { id: 2, direction: 'receive', kind: 'audio' };

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a sender’s transform', () => {
  it('lets nothing pass before there are keys, and nothing in clear after', async () => {
    const bench = new Bench(sender);
    await bench.put(frame(opus(1)), frame(new ArrayBuffer(0)));
    expect(bench.out).toEqual([]);
    expect(bench.last).toMatchObject({ state: 'no_send_key', frames: 0 });
    await bench.start(1, 3);
    await bench.put(frame(opus(2)));
    expect(bench.out).toEqual([]);
    await bench.shared.ring.sendWith(epoch(1));
    await bench.put(frame(opus(3)), frame(new ArrayBuffer(0)), frame(opus(4)));
    expect(bench.out.map(({ data }) => data.byteLength)).toEqual([20, 0, 20]);
    expect(bench.last).toMatchObject({ state: 'ok', frames: 3, failed: { no_send_key: 3 } });
  });

  it('stops in the middle of a frame when something fails', async () => {
    const bench = new Bench(sender);
    await bench.start(1, 3);
    await bench.shared.ring.sendWith(epoch(1));
    vi.spyOn(crypto.subtle, 'encrypt').mockImplementationOnce(async () => {
      bench.shared.running = false;
      return Promise.resolve(new ArrayBuffer(18));
    });
    await bench.put(frame(opus(1)), frame(opus(2)));
    expect(bench.out).toEqual([]);
  });

  it('tells what it did not expect, and lets nothing pass', async () => {
    const bench = new Bench(sender);
    await bench.start(1, 3);
    await bench.shared.ring.sendWith(epoch(1));
    vi.spyOn(crypto.subtle, 'encrypt').mockRejectedValueOnce(new Error('no'));
    await bench.put(frame(opus(1)), frame(opus(2)));
    expect(bench.failures).toHaveLength(1);
    expect(bench.out).toEqual([]);
  });

  it('drops frames of codecs that it does not know, and asks what they are', async () => {
    const bench = new Bench(sender);
    await bench.start(1, 3);
    await bench.shared.ring.sendWith(epoch(1));
    const unnamed = () => frame(opus(1), { payloadType: 111 });
    await bench.put(frame(opus(1), { mimeType: 'audio/red' }), unnamed(), unnamed());
    expect(bench.out).toEqual([]);
    expect(bench.wanted).toEqual([1]);
    expect(bench.last?.failed).toEqual({ codec_unsupported: 3 });
    vi.advanceTimersByTime(500);
    await bench.put(unnamed());
    expect(bench.wanted).toEqual([1, 1]);
    bench.transform.setCodecs({ 111: 'audio/opus', 96: 'video/VP8' });
    await bench.put(
      unnamed(),
      frame(opus(2), { payloadType: 96 }),
      frame(opus(3), { payloadType: 97 }),
    );
    expect(bench.out).toHaveLength(1);
  });

  it('takes the codec that it was given for frames that say nothing', async () => {
    const bench = new Bench({ ...sender, codec: 'audio/opus' });
    await bench.start(1, 3);
    await bench.shared.ring.sendWith(epoch(1));
    await bench.put(frame(opus(1), {}), frame(opus(1), { mimeType: 'video/VP8' }));
    expect(bench.out).toHaveLength(1);
  });
});

describe('a receiver’s transform', () => {
  it('opens frames in their order', async () => {
    const bench = new Bench(receiver);
    await bench.start(1, 5);
    const frames = await sealed(1, 30);
    await bench.put(...frames.map((data) => frame(data)));
    expect(bench.out.map(contentOf)).toEqual(frames.map((_, i) => [0xfc, i]));
    expect(bench.last).toMatchObject({ state: 'ok', frames: 30, pid: 'pid 3', source: 'mic' });
  });

  it('lets early frames wait for their epoch, and keeps their order', async () => {
    const bench = new Bench(receiver);
    const frames = await sealed(1, 4);
    await bench.put(...frames.slice(0, 3).map((data) => frame(data)));
    vi.advanceTimersByTime(earlyWait - 1);
    expect(bench.out).toEqual([]);
    const started = bench.start(1, 5);
    await bench.put(frame(frames[3]!));
    await started;
    expect(bench.out.map(contentOf)).toEqual([0, 1, 2, 3].map((i) => [0xfc, i]));
    expect(bench.shared.early).toBe(0);
    expect(bench.last).toMatchObject({ state: 'ok', frames: 4, failed: {} });
  });

  it('drops early frames when their time is over', async () => {
    const bench = new Bench(receiver);
    const frames = await sealed(1, 3);
    await bench.put(frame(frames[0]!));
    vi.advanceTimersByTime(earlyWait / 2);
    await bench.put(frame(frames[1]!));
    vi.advanceTimersByTime(earlyWait / 2);
    expect(bench.last).toMatchObject({ state: 'missing_key', failed: { missing_key: 1 } });
    await bench.start(1, 5);
    expect(bench.out.map(contentOf)).toEqual([[0xfc, 1]]);
    vi.advanceTimersByTime(10 * earlyWait);
    await bench.put(frame(frames[0]!), frame(frames[2]!));
    expect(bench.out).toHaveLength(3);
    expect(bench.last?.failed).toEqual({ missing_key: 1 });
  });

  it('lets no more wait than there is room for, in all transforms together', async () => {
    const bench = new Bench(receiver);
    const other = new Bench({ ...receiver, id: 3 }, bench.shared);
    const [small] = await sealed(1, 1);
    const large = new Uint8Array(earlyBytes - small!.byteLength);
    large.set(new Uint8Array(small!));
    await bench.put(frame(large.buffer));
    await other.put(frame(small!));
    expect(bench.shared.early).toBe(earlyBytes);
    await bench.put(frame(small!));
    expect(bench.last).toMatchObject({ failed: { missing_key: 1 } });
    vi.advanceTimersByTime(earlyWait);
    expect(bench.shared.early).toBe(0);
  });

  it('does not hold back others while some frames wait', async () => {
    const bench = new Bench(receiver);
    await bench.start(1, 5, [3, 5, 7]);
    const [early] = await sealed(2, 1, 7);
    const [known] = await sealed(1, 1);
    await bench.put(frame(early!), frame(known!));
    expect(bench.out).toHaveLength(1);
    await bench.start(2, 5, [3, 5, 7]);
    expect(bench.out).toHaveLength(2);
  });

  it('tells apart what cannot be opened', async () => {
    const bench = new Bench(receiver);
    await bench.start(1, 5);
    const [good] = await sealed(1, 1);
    const changed = good!.slice(0);
    new Uint8Array(changed)[5]! ^= 1;
    const inClear = new Uint8Array(60).fill(0xfc).buffer;
    await bench.put(frame(inClear));
    expect(bench.reports.at(-1)?.state).toBe('unencrypted_frame');
    await bench.put(frame(changed));
    expect(bench.reports.at(-1)?.state).toBe('decrypt_failed');
    await bench.put(frame(good!), frame(good!.slice(0)));
    expect(bench.out).toHaveLength(1);
    const failed = { unencrypted_frame: 1, decrypt_failed: 1, replayed: 1 };
    expect(bench.last).toMatchObject({ state: 'ok', failed });
  });

  it('does not change its mind about a slot because of one bad frame', async () => {
    const bench = new Bench(receiver);
    await bench.start(1, 5);
    const frames = await sealed(1, 2);
    const inClear = () => frame(new Uint8Array(60).fill(0xfc).buffer);
    await bench.put(frame(frames[0]!), inClear());
    expect(bench.last).toMatchObject({ state: 'ok', failed: { unencrypted_frame: 1 } });
    vi.advanceTimersByTime(500);
    await bench.put(inClear());
    expect(bench.reports.at(-1)?.state).toBe('unencrypted_frame');
    await bench.put(frame(frames[1]!));
    expect(bench.reports.at(-1)?.state).toBe('ok');
  });

  it('shows whose frames are newest: late ones of who was there before change nothing', async () => {
    const bench = new Bench(receiver);
    await bench.start(1, 5, [3, 5, 7]);
    const ann = await sealed(1, 4, 3);
    const bob = await sealed(1, 4, 7);
    const at = (data: ArrayBuffer | undefined, rtpTimestamp: number) =>
      frame(data!, { mimeType: 'audio/opus', rtpTimestamp });
    const end = 2 ** 32;
    await bench.put(at(ann[0], end - 1920), at(ann[1], end - 960));
    expect(bench.last?.pid).toBe('pid 3');
    await bench.put(at(bob[0], 960), at(ann[2], 0), at(bob[1], 1920), at(ann[3], 1000));
    expect(bench.last).toMatchObject({ pid: 'pid 7', frames: 4 });
    expect(bench.out).toHaveLength(4);
    const changes = bench.reports.map(({ pid }) => pid).filter((p, i, all) => p !== all[i - 1]);
    expect(changes).toEqual(['pid 3', 'pid 7']);
  });

  it('lets nothing pass of anybody but whom it names, whatever the timestamps say', async () => {
    const bench = new Bench(receiver);
    await bench.start(1, 5, [3, 5, 7]);
    const ann = await sealed(1, 3, 3);
    const bob = await sealed(1, 20, 7);
    const at = (data: ArrayBuffer | undefined, rtpTimestamp: number) =>
      frame(data!, { mimeType: 'audio/opus', rtpTimestamp });
    const now = 10_000_000;
    await bench.put(at(ann[0], now), ...bob.map((data, i) => at(data, now - 400_000 + i)));
    expect(bench.out).toHaveLength(1);
    expect(bench.last).toMatchObject({ pid: 'pid 3', frames: 1 });
    await bench.put(at(ann[1], now - 960), at(ann[2], now + 960)); // her own may be late
    expect(bench.out).toHaveLength(3);
  });

  it('counts what it was given, whatever became of it', async () => {
    const bench = new Bench(sender);
    expect(bench.transform.given).toEqual({ streams: {}, busy: false });
    await bench.put(frame(opus(1)), frame(opus(1), { mimeType: 'audio/red' }));
    expect(bench.out).toEqual([]);
    expect(bench.transform.given).toEqual({ streams: { 0: { taken: 2, passed: 0 } }, busy: false });
  });

  it('counts what it gives back of each stream, before it does', async () => {
    const bench = new Bench(sender);
    await bench.start(1, 3);
    await bench.shared.ring.sendWith(epoch(1));
    const of = (synchronizationSource: number) =>
      frame(opus(1), { mimeType: 'audio/opus', synchronizationSource });
    bench.onWrite = () => expect(bench.transform.given.streams[7]?.passed).toBeGreaterThan(0);
    await bench.put(of(7), of(8), of(7));
    expect(bench.out).toHaveLength(3);
    expect(bench.transform.given).toEqual({
      streams: { 7: { taken: 2, passed: 2 }, 8: { taken: 1, passed: 1 } },
      busy: false,
    });
  });

  it('is busy while it is at a frame, however long that takes', async () => {
    const bench = new Bench(sender);
    await bench.start(1, 3);
    await bench.shared.ring.sendWith(epoch(1));
    let goOn!: () => void;
    const slow = new Promise<void>((resolve) => (goOn = resolve));
    const seal = bench.shared.ring.seal.bind(bench.shared.ring);
    bench.shared.ring.seal = async (...frame) => {
      await slow;
      return seal(...frame);
    };
    const put = bench.put(frame(opus(1)), frame(opus(2)));
    await new Promise((resolve) => setImmediate(resolve));
    const taken = { streams: { 0: { taken: 1, passed: 0 } }, busy: true };
    expect(bench.transform.given).toEqual(taken);
    goOn();
    await put;
    expect(bench.transform.given).toEqual({ streams: { 0: { taken: 2, passed: 2 } }, busy: false });
  });

  it('counts nothing as told that nobody has opened', async () => {
    const bench = new Bench(receiver);
    await bench.put(frame(new ArrayBuffer(0)));
    expect(bench.out).toHaveLength(1);
    expect(bench.last).toBeUndefined();
  });
});
