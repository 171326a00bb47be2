import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SendCheck, sentBy } from './sendcheck';

/** A browser that counts, and a worker that counts; the test moves both. */
function start({ behind } = { behind: false }) {
  const counts = { sent: 0, taken: 0 };
  const bypassed = vi.fn();
  const witnesses = {
    sent: () => Promise.resolve(counts.sent),
    behind,
    intact: () => true,
    taken: (): Promise<number> => Promise.resolve(counts.taken),
  };
  const check = new SendCheck(witnesses, bypassed);
  /** Goes on for so many ms, 100 by 100, adding to both counts each time. */
  const pass = async (ms: number, sent: number, taken: number): Promise<void> => {
    for (let t = 0; t < ms; t += 100) {
      counts.sent += sent;
      counts.taken += taken;
      await vi.advanceTimersByTimeAsync(100);
    }
  };
  return { check, counts, witnesses, bypassed, pass };
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('SendCheck', () => {
  it('finds a browser that leaves the transform out, within 1.5 s', async () => {
    const { check, bypassed, pass } = start();
    check.start();
    await pass(1_500, 3, 0);
    expect(bypassed).toHaveBeenCalledTimes(1);
    await pass(5_000, 3, 0);
    expect(bypassed).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('finds it also when it begins in the middle, or when little is sent', async () => {
    const { check, bypassed, pass } = start();
    check.start();
    await pass(10_000, 3, 3);
    expect(bypassed).not.toHaveBeenCalled();
    await pass(3_600, 3, 0);
    expect(bypassed).toHaveBeenCalledTimes(1);

    const slow = start();
    slow.check.start();
    for (let i = 0; i < 6; i++) {
      await slow.pass(100, 1, 0);
      await slow.pass(900, 0, 0);
    }
    expect(slow.bypassed).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['all that is sent was sealed', 3, 3],
    ['nothing is sent', 0, 0],
    ['the gate lets nothing pass', 0, 3],
    ['layers or packets are counted otherwise than frames', 9, 1],
  ])('is content while %s', async (_, sent, taken) => {
    const { check, bypassed, pass } = start();
    check.start();
    await pass(20_000, sent, taken);
    expect(bypassed).not.toHaveBeenCalled();
  });

  it('does not take frames between the two for more than that', async () => {
    const { check, counts, bypassed, pass } = start();
    check.start();
    await pass(1_000, 3, 3);
    counts.sent += 2; // had been counted as taken before
    await pass(20_000, 0, 0);
    counts.taken += 5; // a new picture, taken before it is sent
    await pass(3_000, 0, 0);
    counts.sent += 5;
    await pass(20_000, 0, 0);
    expect(bypassed).not.toHaveBeenCalled();
  });

  it('waits for a worker that is busy, and for statistics that fail', async () => {
    const { check, counts, witnesses, bypassed, pass } = start();
    let answer!: (taken: number) => void;
    witnesses.taken = () => new Promise((resolve) => (answer = resolve));
    check.start();
    await pass(30_000, 3, 0);
    expect(bypassed).not.toHaveBeenCalled();
    counts.taken = 900;
    answer(900);
    witnesses.taken = () => Promise.resolve(counts.taken);
    const { sent } = witnesses;
    witnesses.sent = () => Promise.reject(new Error('no'));
    await pass(10_000, 3, 3);
    witnesses.sent = sent;
    await pass(10_000, 3, 3);
    expect(bypassed).not.toHaveBeenCalled();
  });

  it('finds a transform that was taken off at once, also while the worker is dead', async () => {
    const { check, witnesses, bypassed, pass } = start();
    check.start();
    await pass(4_000, 3, 3);
    witnesses.taken = () => new Promise(() => undefined);
    await pass(4_000, 3, 0);
    expect(bypassed).not.toHaveBeenCalled();
    witnesses.intact = () => false;
    await pass(300, 0, 0);
    expect(bypassed).toHaveBeenCalledTimes(1);
    await pass(10_000, 3, 0);
    expect(bypassed).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('finds a voice that is sent while the worker is dead, within 4.5 s', async () => {
    const { check, witnesses, bypassed, pass } = start({ behind: true });
    check.start();
    await pass(10_000, 5, 5);
    witnesses.taken = () => new Promise(() => undefined);
    await pass(4_500, 5, 0);
    expect(bypassed).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('takes a worker that is busy, now and again, for no leak', async () => {
    const { check, counts, witnesses, bypassed, pass } = start({ behind: true });
    const answers: ((taken: number) => void)[] = [];
    const { taken } = witnesses;
    check.start();
    await pass(3_900, 5, 5);
    for (let turn = 0; turn < 20; turn++) {
      witnesses.taken = () => new Promise((resolve) => void answers.push(resolve));
      await pass(1_700 + 100 * turn, 0, 0); // nothing passes
      for (const answer of answers.splice(0)) answer(counts.taken);
      if (turn % 2) witnesses.taken = taken; // else it is busy again at once
      await pass(100, 50, 50); // what has waited
    }
    await pass(10_000, 0, 0);
    expect(bypassed).not.toHaveBeenCalled();
  });

  it('looks no more after it was stopped, also in the middle of a look', async () => {
    const { check, witnesses, bypassed, pass } = start();
    check.start();
    await pass(1_400, 3, 0);
    let answer!: (taken: number) => void;
    witnesses.taken = () => new Promise((resolve) => (answer = resolve));
    await pass(100, 3, 0);
    check.stop();
    answer(0);
    await pass(10_000, 3, 0);
    expect(bypassed).not.toHaveBeenCalled();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('counts frames of a picture in all layers, and packets of a voice', async () => {
    const sender = (...stats: object[]) =>
      ({
        getStats: () => Promise.resolve(new Map(stats.map((one, i) => [`${i}`, one]))),
      }) as unknown as RTCRtpSender;
    const outbound = { type: 'outbound-rtp' };
    const video = sender(
      { ...outbound, framesSent: 3, packetsSent: 90 },
      { ...outbound, framesSent: 4 },
      { type: 'codec' },
    );
    expect(await sentBy(video)).toBe(7);
    expect(await sentBy(sender({ ...outbound, packetsSent: 50 }, { type: 'transport' }))).toBe(50);
    expect(await sentBy(sender())).toBe(0);
  });
});
