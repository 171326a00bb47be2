import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Given } from './ports';
import { type Left, leftOf, type Look, provesBypass, SendCheck } from './sendcheck';

const ssrc = 7;

/** A look at one stream: bytes that left, frames encoded (of a picture), frames taken and passed. */
type Row = [
  payload: number,
  encoded: number | undefined,
  taken: number,
  passed: number,
  busy?: 'busy',
];

const look = ([payload, encoded, taken, passed, busy]: Row, of = ssrc): Look => ({
  left: [{ ssrc: of, payload, ...(encoded === undefined ? {} : { encoded }) }],
  given: { streams: { [of]: { taken, passed } }, busy: busy === 'busy' },
});

describe('provesBypass', () => {
  it.each<[string, ...Row[]]>([
    ['a voice of which nothing was given back', [1, undefined, 0, 0]],
    ['a picture of which nothing was given back', [900, 1, 0, 0]],
    ['one that the transform holds back, and that leaves all the same', [900, 3, 3, 0]],
    ['the same beside a busy worker', [900, 3, 3, 0, 'busy']],
    [
      'a voice that goes on without it',
      [9, undefined, 5, 5],
      [10, undefined, 5, 5],
      [11, undefined, 5, 5],
    ],
    ['a picture that goes on without it', [9, 5, 5, 5], [10, 6, 5, 5], [11, 7, 5, 5]],
    ['the same after a good time', [1, 1, 1, 1], [9, 5, 5, 5], [10, 6, 5, 5], [11, 7, 5, 5]],
  ])('finds %s', (_, ...rows) => {
    expect(provesBypass(rows.map((row) => look(row)))).toBe(true);
  });

  it.each<[string, ...Row[]]>([
    ['nothing at all', ...[]],
    ['nothing that has left', [0, 30, 0, 0]],
    ['frames that wait for a key', [0, 30, 30, 0], [0, 60, 60, 0], [0, 90, 90, 0]],
    ['what all was sealed', [9, 3, 3, 3], [18, 6, 6, 6], [27, 9, 9, 9]],
    ['more bytes than frames', [900, 1, 1, 1]],
    ['a worker that gets no frame yet', [0, 10, 0, 0], [0, 20, 0, 0], [0, 30, 0, 0]],
    [
      'a worker that is at a frame for long, beside probes',
      [9, 5, 5, 4, 'busy'],
      [10, 9, 5, 4, 'busy'],
      [11, 13, 5, 4, 'busy'],
    ],
    ['one that was at a frame once', [9, 5, 5, 5], [10, 9, 5, 5, 'busy'], [11, 13, 5, 5]],
    ['a worker that gets frames late', [9, 5, 5, 5], [10, 9, 5, 5], [11, 13, 6, 6]],
    ['old packets as probes, while nothing is encoded', [9, 5, 5, 5], [10, 5, 5, 5], [11, 5, 5, 5]],
    ['frames that are encoded and not sent', [9, 5, 5, 5], [9, 6, 5, 5], [9, 7, 5, 5]],
    ['the last of a voice', [9, undefined, 5, 5], [10, undefined, 5, 5], [10, undefined, 5, 5]],
    ['two looks', [9, undefined, 5, 5], [10, undefined, 5, 5]],
  ])('takes for no bypass %s', (_, ...rows) => {
    expect(provesBypass(rows.map((row) => look(row)))).toBe(false);
  });

  it('finds one layer among others', () => {
    const given = { streams: { 1: { taken: 9, passed: 9 } }, busy: false };
    const left = [1, 2].map((ssrc) => ({ ssrc, payload: 500, encoded: 9 }));
    expect(provesBypass([{ left, given }])).toBe(true);
    expect(provesBypass([{ left: left.slice(0, 1), given }])).toBe(false);
  });

  it('takes the counts of all, where frames do not tell of which stream they are', () => {
    const left = [{ ssrc: 1, payload: 500, encoded: 9 }];
    const given = (passed: number) => ({ streams: { 0: { taken: 9, passed } }, busy: false });
    expect(provesBypass([{ left, given: given(9) }])).toBe(false);
    expect(provesBypass([{ left, given: given(0) }])).toBe(true);
  });
});

/** A browser that counts and a worker that counts, for so many ms, in steps of 100. */
function start() {
  const counts = { payload: 0, taken: 0, passed: 0 };
  const found: string[] = [];
  const witnesses = {
    left: (): Promise<Left[]> => Promise.resolve([{ ssrc, payload: counts.payload }]),
    given: (): Promise<Given> => {
      const { taken, passed } = counts;
      return Promise.resolve({ streams: { [ssrc]: { taken, passed } }, busy: false });
    },
    intact: () => true,
  };
  const check = new SendCheck(witnesses, {
    bypassed: () => found.push('bypassed'),
    silent: (isSilent) => found.push(isSilent ? 'silent' : 'answers'),
  });
  const pass = async (ms: number, sent: number, sealed: number): Promise<void> => {
    for (let t = 0; t < ms; t += 100) {
      counts.taken += sealed;
      counts.passed += sealed;
      counts.payload += sent;
      await vi.advanceTimersByTimeAsync(100);
    }
  };
  return { check, counts, witnesses, found, pass };
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('SendCheck', () => {
  it('finds a browser that leaves the transform out, half a second after the track was set', async () => {
    const { check, found, pass } = start();
    check.start();
    await pass(400, 3, 0);
    expect(found).toEqual([]);
    await pass(100, 3, 0);
    expect(found).toEqual(['bypassed']);
    await pass(5_000, 3, 0);
    expect(found).toEqual(['bypassed']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('finds one that begins to, within 3 s', async () => {
    const { check, found, pass } = start();
    check.start();
    await pass(10_000, 3, 3);
    expect(found).toEqual([]);
    await pass(3_000, 3, 0);
    expect(found).toEqual(['bypassed']);
  });

  it.each([
    ['all that is sent was sealed', 3, 3],
    ['nothing is sent', 0, 0],
    ['nothing that is given leaves', 0, 3],
  ])('is content while %s', async (_, sent, sealed) => {
    const { check, found, pass } = start();
    check.start();
    await pass(20_000, sent, sealed);
    expect(found).toEqual([]);
  });

  it('has nothing given to a sender whose worker does not answer, and goes on when it does', async () => {
    const { check, counts, witnesses, found, pass } = start();
    const { given } = witnesses;
    check.start();
    await pass(10_000, 3, 3);
    let answer!: (given: Given) => void;
    witnesses.given = () => new Promise((resolve) => (answer = resolve));
    await pass(3_000, 3, 0); // by a worker that is dead, and a browser that sends in clear
    expect(found).toEqual(['silent']);
    await pass(600_000, 0, 0);
    expect(found).toEqual(['silent']);
    witnesses.given = given;
    counts.taken += 9;
    answer(await given());
    await pass(10_000, 3, 3);
    expect(found).toEqual(['silent', 'answers']);
  });

  it('gives nobody up for turns that the page itself missed', async () => {
    const { check, witnesses, found } = start();
    const { given } = witnesses;
    witnesses.given = () => new Promise((resolve) => setTimeout(() => resolve(given()), 60_000));
    check.start();
    await vi.advanceTimersByTimeAsync(500);
    for (let turn = 0; turn < 7; turn++) {
      vi.setSystemTime(Date.now() + 30_000); // a page that hangs: one turn for all it missed
      await vi.advanceTimersByTimeAsync(250);
    }
    expect(found).toEqual([]);
    await vi.advanceTimersByTimeAsync(250);
    expect(found).toEqual(['silent']);
    check.stop();
  });

  it('finds nothing in an answer that comes late, however often', async () => {
    const { check, counts, witnesses, found, pass } = start();
    const { given } = witnesses;
    check.start();
    await pass(3_900, 5, 5);
    for (let turn = 0; turn < 20; turn++) {
      let answer!: (given: Given) => void;
      witnesses.given = () => new Promise((resolve) => (answer = resolve));
      await pass(1_100 + 300 * turn, 0, 0); // nothing passes
      witnesses.given = given;
      counts.taken += 50; // what has waited
      counts.passed += 50;
      answer(await given());
      await pass(400, 125, 0);
    }
    expect(found).not.toContain('bypassed');
    expect(found.at(-1)).toBe('answers');
  });

  it('has nothing given where it cannot be looked: no transform, or no counts', async () => {
    const { check, witnesses, found, pass } = start();
    const { given, left } = witnesses;
    check.start();
    await pass(1_000, 3, 3);
    witnesses.given = () => Promise.reject(new Error('no transform'));
    await pass(1_000, 3, 3);
    witnesses.given = given;
    await pass(1_000, 3, 3);
    witnesses.left = () => Promise.reject(new Error('closed'));
    await pass(1_000, 3, 3);
    witnesses.left = left;
    await pass(1_000, 3, 3);
    expect(found).toEqual(['silent', 'answers', 'silent', 'answers']);
  });

  it('finds a transform that was taken off at once, also while the worker is dead', async () => {
    const { check, witnesses, found, pass } = start();
    check.start();
    await pass(4_000, 3, 3);
    witnesses.given = () => new Promise(() => undefined);
    await pass(1_000, 3, 0);
    witnesses.intact = () => false;
    await pass(300, 0, 0);
    expect(found).toEqual(['bypassed']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('looks no more after it was stopped, also in the middle of a look', async () => {
    const { check, counts, witnesses, found, pass } = start();
    let answer!: (given: Given) => void;
    witnesses.given = () => new Promise((resolve) => (answer = resolve));
    check.start();
    await pass(500, 3, 0);
    check.stop();
    answer({ streams: {}, busy: false });
    await pass(10_000, 3, 0);
    expect(found).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    expect(counts.payload).toBeGreaterThan(0);
  });
});

it('reads what has left in all layers, and what a voice has', async () => {
  const sender = (...stats: object[]) =>
    ({
      getStats: () => Promise.resolve(new Map(stats.map((one, i) => [`${i}`, one]))),
    }) as unknown as RTCRtpSender;
  const outbound = { type: 'outbound-rtp', kind: 'video', ssrc: 1 };
  const video = sender(
    { ...outbound, framesEncoded: 3, framesSent: 3, bytesSent: 900, retransmittedBytesSent: 200 },
    { ...outbound, ssrc: 2 },
    { type: 'codec' },
  );
  expect(await leftOf(video)).toEqual([
    { ssrc: 1, payload: 700, encoded: 3 },
    { ssrc: 2, payload: 0, encoded: 0 },
  ]);
  const audio = sender({ ...outbound, kind: 'audio', bytesSent: 50 }, { type: 'transport' });
  expect(await leftOf(audio)).toEqual([{ ssrc: 1, payload: 50 }]);
});
