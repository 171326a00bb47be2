import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Call } from './call';
import { LocalMedia } from './local';
import type { Participation, ParticipationOptions } from './participation';
import type { Slot } from './peer';
import { FakeEncryption } from './testing';

const slot = (connection: number, index: number): Slot => ({
  name: `video-${connection}-${index}`,
  connection,
  kind: 'video',
  track: {} as MediaStreamTrack,
});

async function start() {
  const told: string[] = [];
  let options!: ParticipationOptions;
  const call = new Call({
    codec: 'vp8',
    link: { room: 'tea', href: 'https://meet.example/r/tea#secret' },
    name: 'Maya',
    local: new LocalMedia(),
    startEncryption: () => Promise.resolve(new FakeEncryption()),
    participate: (given) => {
      options = given;
      const tell = (what: string) => () => told.push(what);
      const fake = {
        setTrack: (source: string) => told.push(`track ${source}`),
        setView: tell('view'),
        begin: () => Promise.resolve(told.push('begin')),
        leave: tell('leave'),
      };
      return fake as unknown as Participation;
    },
  });
  await call.join();
  return { call, told, options };
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('Call', () => {
  it('has the slots of the last PeerConnection only', async () => {
    const { call, options } = await start();
    for (let i = 0; i < 9; i++) options.onSlot(slot(1, i));
    expect(call.slots.size).toBe(9);
    for (let i = 0; i < 4; i++) options.onSlot(slot(2, i));
    expect([...call.slots.keys()]).toEqual(['video-2-0', 'video-2-1', 'video-2-2', 'video-2-3']);
  });

  it('tells the time while it lasts, since some things end by time alone', async () => {
    const { call } = await start();
    const times: number[] = [];
    call.on('state', ({ time }) => times.push(time));
    const before = performance.now();
    vi.advanceTimersByTime(3_000);
    expect(times.map((time) => time - before)).toEqual([1_000, 2_000, 3_000]);
    call.leave();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('says that the encryption is still loading, and goes on when it has loaded', async () => {
    let load!: (encryption: FakeEncryption) => void;
    const call = new Call({
      codec: 'vp8',
      link: { room: 'tea', href: 'https://meet.example/r/tea#secret' },
      name: 'Maya',
      local: new LocalMedia(),
      startEncryption: () => new Promise((resolve) => (load = resolve)),
      participate: ({ pid, dispatch }) => {
        const begin = async () => {
          dispatch({ type: 'began', pid });
          await Promise.resolve();
        };
        const fake = { setTrack: vi.fn(), setView: vi.fn(), begin, leave: vi.fn() };
        return fake as unknown as Participation;
      },
    });
    const joined = call.join();
    await vi.advanceTimersByTimeAsync(9_900);
    expect(call.state).toMatchObject({ answers: true });
    await vi.advanceTimersByTimeAsync(100);
    expect(call.state).toMatchObject({ answers: false, pid: '' });
    await vi.advanceTimersByTimeAsync(600_000);
    expect(call.state.ended).toBeUndefined();
    load(new FakeEncryption());
    await joined;
    expect(call.state).toMatchObject({ answers: true, connection: 'connecting' });
    call.leave();
    expect(vi.getTimerCount()).toBe(0);
  });
});
