import { describe, expect, it, vi } from 'vitest';
import { levelOf } from './audio';
import { faultOf, whyEnded, type DeviceFault } from './devices';
import { LocalMedia } from './local';

class FakeTrack extends EventTarget {
  enabled = true;
  readyState = 'live';
  contentHint = '';

  constructor(readonly id: string) {
    super();
  }

  getSettings(): MediaTrackSettings {
    return { deviceId: this.id };
  }

  stop(): void {
    this.readyState = 'ended';
  }
}

/** Devices that open when the test says so. */
function start() {
  const answers: ((answer: FakeTrack | DeviceFault) => void)[] = [];
  const local = new LocalMedia(
    () =>
      new Promise((resolve) => {
        answers.push((answer) => resolve(answer as unknown as MediaStreamTrack));
      }),
    () => Promise.resolve('missing'),
  );
  const answer = async (i: number, what: FakeTrack | DeviceFault): Promise<void> => {
    answers[i]!(what);
    await Promise.resolve();
    await Promise.resolve();
  };
  return { local, answers, answer };
}

describe('LocalMedia', () => {
  it('sends a device once it is open and on', async () => {
    const { local, answer } = start();
    const changes = vi.fn();
    local.onChange(changes);
    void local.turn('audio', true);
    expect(local.sending('audio')).toBeNull();
    expect(local.state.audio).toMatchObject({ on: true, opening: true });
    const voice = new FakeTrack('a');
    await answer(0, voice);
    expect(local.sending('audio')).toBe(voice);
    expect(changes).toHaveBeenCalledTimes(2);
  });

  it('mutes a microphone without closing it', async () => {
    const { local, answer, answers } = start();
    void local.turn('audio', true);
    const voice = new FakeTrack('a');
    await answer(0, voice);
    await local.turn('audio', false);
    expect(local.sending('audio')).toBeNull();
    expect([voice.enabled, voice.readyState]).toEqual([false, 'live']);
    await local.turn('audio', true);
    expect(local.sending('audio')).toBe(voice);
    expect(answers).toHaveLength(1);
  });

  it('closes a camera that is turned off, and opens it again', async () => {
    const { local, answer, answers } = start();
    void local.turn('video', true);
    const face = new FakeTrack('v');
    await answer(0, face);
    await local.turn('video', false);
    expect(face.readyState).toBe('ended');
    expect(local.state.video).toEqual({ on: false, opening: false });
    void local.turn('video', true);
    expect(answers).toHaveLength(2);
  });

  it('closes a device that opens after it was turned off', async () => {
    const { local, answer } = start();
    void local.turn('video', true);
    await local.turn('video', false);
    const late = new FakeTrack('v');
    await answer(0, late);
    expect(late.readyState).toBe('ended');
    expect(local.sending('video')).toBeNull();
  });

  it('changes the device and keeps it muted', async () => {
    const { local, answer } = start();
    void local.turn('audio', true);
    const first = new FakeTrack('a');
    await answer(0, first);
    await local.turn('audio', false);
    void local.choose('audio', 'b');
    const second = new FakeTrack('b');
    await answer(1, second);
    expect(first.readyState).toBe('ended');
    expect(second.enabled).toBe(false);
    expect(local.chosen('audio')).toBe('b');
    expect(local.sending('audio')).toBeNull();
  });

  it('says why a device does not open, and that one was pulled out', async () => {
    const { local, answer } = start();
    void local.turn('video', true);
    await answer(0, 'denied');
    expect(local.state.video).toEqual({ on: false, opening: false, fault: 'denied' });
    void local.turn('audio', true);
    const voice = new FakeTrack('a');
    await answer(1, voice);
    voice.dispatchEvent(new Event('ended'));
    expect(local.state.audio).toEqual({ on: false, opening: false });
    await Promise.resolve();
    expect(local.state.audio).toEqual({ on: false, opening: false, fault: 'missing' });
  });

  it('takes another device also while the first one opens', async () => {
    const { local, answer, answers } = start();
    void local.turn('audio', true);
    void local.choose('audio', 'b');
    expect(answers).toHaveLength(2);
    const [first, second] = [new FakeTrack('a'), new FakeTrack('b')];
    await answer(0, first);
    await answer(1, second);
    expect(first.readyState).toBe('ended');
    expect(local.sending('audio')).toBe(second);
  });

  it('closes everything at the end', async () => {
    const { local, answer } = start();
    void local.turn('audio', true);
    void local.turn('video', true);
    const voice = new FakeTrack('a');
    await answer(0, voice);
    local.close();
    const late = new FakeTrack('v');
    await answer(1, late);
    expect([voice.readyState, late.readyState]).toEqual(['ended', 'ended']);
  });
});

describe('whyEnded', () => {
  it.each([
    ['granted', 'missing'],
    ['denied', 'denied'],
    ['prompt', 'denied'],
  ])('with the permission %s: %s', async (state, fault) => {
    const query = vi.fn(() => Promise.resolve({ state }));
    vi.stubGlobal('navigator', { permissions: { query } });
    expect(await whyEnded('video')).toBe(fault);
    expect(query).toHaveBeenCalledWith({ name: 'camera' });
    vi.unstubAllGlobals();
  });

  it('does not know where the browser does not tell', async () => {
    vi.stubGlobal('navigator', {});
    expect(await whyEnded('audio')).toBe('missing');
    vi.unstubAllGlobals();
  });
});

describe('faultOf', () => {
  it.each([
    ['NotAllowedError', 'denied'],
    ['NotFoundError', 'missing'],
    ['OverconstrainedError', 'missing'],
    ['NotReadableError', 'busy'],
    ['AbortError', 'busy'],
    ['SecurityError', 'insecure'],
    ['TypeError', 'failed'],
  ])('%s is %s', (name, fault) => {
    expect(faultOf(new DOMException('', name))).toBe(fault);
  });

  it('knows no other errors', () => {
    expect(faultOf(new Error('x'))).toBe('failed');
  });
});

describe('levelOf', () => {
  const tone = (amplitude: number): Float32Array =>
    Float32Array.from({ length: 480 }, (_, i) => amplitude * Math.sin((i * Math.PI) / 12));

  it('rises with the sound from 0 to 1', () => {
    expect(levelOf(new Float32Array(480))).toBe(0);
    expect(levelOf(new Float32Array(0))).toBe(0);
    expect(levelOf(tone(1))).toBe(1);
    const levels = [0.001, 0.01, 0.05, 0.1, 0.2].map((a) => levelOf(tone(a)));
    expect(levels).toEqual([...levels].sort((a, b) => a - b));
    expect(levelOf(tone(0.02))).toBeCloseTo(0.45, 1);
  });
});
