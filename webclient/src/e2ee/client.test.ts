import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { E2EE } from './client';
import type { FromWorker, ToWorker } from './messages';
import { peerConnectionConfig, supported } from './support';
import type { Frames } from './types';

/** What the page sees of a worker. */
class FakeWorker {
  static latest: FakeWorker;
  onmessage?: (event: { data: FromWorker }) => void;
  onerror?: () => void;
  readonly sent: ToWorker[] = [];
  terminated = false;

  constructor() {
    FakeWorker.latest = this;
    queueMicrotask(() => this.say({ type: 'loaded' }));
  }
  postMessage(message: ToWorker): void {
    this.sent.push(message);
  }
  terminate(): void {
    this.terminated = true;
  }
  say(message: FromWorker): void {
    this.onmessage?.({ data: message });
  }
}

class FakeTransform {
  constructor(
    readonly worker: FakeWorker,
    readonly options: { id: number },
  ) {}
}

/** A sender or receiver that remembers every transform it was given. */
class FakeTarget {
  readonly given: (FakeTransform | null)[] = [];
  get transform(): FakeTransform | null {
    return this.given.at(-1) ?? null;
  }
  set transform(transform: FakeTransform | null) {
    this.given.push(transform);
  }
  getParameters() {
    return { codecs: [{ payloadType: 111, mimeType: 'audio/opus' }] };
  }
}

const sender = () => new FakeTarget() as unknown as RTCRtpSender & FakeTarget;
const receiver = () => new FakeTarget() as unknown as RTCRtpReceiver & FakeTarget;

beforeEach(() => {
  vi.stubGlobal('Worker', FakeWorker);
  vi.stubGlobal('RTCRtpSender', FakeTarget);
  vi.stubGlobal('RTCRtpScriptTransform', FakeTransform);
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('supported', () => {
  it('knows the two ways, and that there is no third', () => {
    expect(supported()).toBe('script-transform');
    expect(peerConnectionConfig([])).toEqual({ iceServers: [] });
    vi.stubGlobal('RTCRtpScriptTransform', undefined);
    expect(supported()).toBeUndefined();
    class Older extends FakeTarget {
      createEncodedStreams() {
        return {};
      }
    }
    vi.stubGlobal('RTCRtpSender', Older);
    expect(supported()).toBe('encoded-streams');
    expect(peerConnectionConfig([])).toEqual({ iceServers: [], encodedInsertableStreams: true });
  });

  it('is asked before there is a worker', async () => {
    vi.stubGlobal('RTCRtpScriptTransform', undefined);
    await expect(E2EE.start()).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('E2EE', () => {
  it('sets a transform before it returns, and tells when it runs', async () => {
    const e2ee = await E2EE.start();
    const target = sender();
    let isAttached = false;
    const attached = e2ee.attachSender(target, 'camera').then(() => (isAttached = true));
    expect(target.given).toHaveLength(1);
    const { options } = target.given[0]!;
    expect(options).toMatchObject({ direction: 'send', source: 'camera', kind: 'video' });
    await Promise.resolve();
    expect(isAttached).toBe(false);
    FakeWorker.latest.say({ type: 'attached', id: options.id });
    await attached;
  });

  it('transfers the streams of browsers that have only these', async () => {
    vi.stubGlobal('RTCRtpScriptTransform', undefined);
    class Older extends FakeTarget {
      createEncodedStreams() {
        return { readable: 'r', writable: 'w' };
      }
    }
    vi.stubGlobal('RTCRtpSender', Older);
    const e2ee = await E2EE.start();
    const target = new Older() as unknown as RTCRtpReceiver;
    void e2ee.attachReceiver(target, '0', 'audio');
    expect(FakeWorker.latest.sent).toEqual([
      {
        type: 'streams',
        options: { id: 1, direction: 'receive', kind: 'audio' },
        readable: 'r',
        writable: 'w',
      },
    ]);
  });

  it.each([
    [
      'a fatal error',
      (w: FakeWorker) => w.say({ type: 'fatal', fatal: { code: 'x', message: '' } }),
    ],
    ['a worker that fails', (w: FakeWorker) => w.onerror?.()],
  ])(
    'ends with %s: once, for all that wait, and without taking a transform off',
    async (_, end) => {
      const e2ee = await E2EE.start();
      const fatal = vi.fn();
      e2ee.on('fatal', fatal);
      const target = sender();
      const waiting = [
        e2ee.ready,
        e2ee.configure({ link: '', pid: '', name: '' }),
        e2ee.attachSender(target, 'mic'),
      ];
      end(FakeWorker.latest);
      end(FakeWorker.latest);
      for (const promise of waiting) await expect(promise).rejects.toHaveProperty('code');
      expect(fatal).toHaveBeenCalledTimes(1);
      expect(FakeWorker.latest.terminated).toBe(true);
      expect(target.given).toEqual([expect.any(FakeTransform)]);

      const later = receiver();
      await expect(e2ee.attachReceiver(later, '1', 'video')).rejects.toHaveProperty('code');
      expect(later.given).toEqual([expect.any(FakeTransform)]);
      const sent = FakeWorker.latest.sent.length;
      e2ee.logOpened('', 0);
      expect(FakeWorker.latest.sent).toHaveLength(sent);
    },
  );

  it('waits for a worker that loads slowly, and ends with one that cannot', async () => {
    vi.useFakeTimers();
    vi.stubGlobal(
      'Worker',
      class extends FakeWorker {
        override say(message: FromWorker): void {
          FakeWorker.latest = this;
          if (message.type !== 'loaded') super.say(message);
        }
      },
    );
    const started = vi.fn();
    const refused = vi.fn();
    E2EE.start().then(started, refused);
    await vi.advanceTimersByTimeAsync(300_000);
    expect(started).not.toHaveBeenCalled();
    FakeWorker.latest.say({ type: 'fatal', fatal: { code: 'core_failed', message: '' } });
    await vi.advanceTimersByTimeAsync(0);
    expect(refused).toHaveBeenCalledWith(expect.objectContaining({ code: 'core_failed' }));
    expect(FakeWorker.latest.terminated).toBe(true);
  });

  it('gives up a transform that a worker does not know when it is asked, and no other', async () => {
    vi.useFakeTimers();
    const e2ee = await E2EE.start();
    const worker = FakeWorker.latest;
    const before = vi.getTimerCount();
    const [silent, good] = [e2ee.attachSender(sender(), 'mic'), e2ee.attachSender(sender(), 'mic')];
    const refused = vi.fn();
    silent.catch(refused);
    worker.say({ type: 'attached', id: 2 });
    await good;
    await vi.advanceTimersByTimeAsync(60_000); // a busy worker answers when it can
    expect(refused).not.toHaveBeenCalled();
    worker.say({ type: 'counted', id: 1 });
    await vi.advanceTimersByTimeAsync(0);
    expect(refused).toHaveBeenCalledWith(expect.objectContaining({ code: 'no_transform' }));
    expect(vi.getTimerCount()).toBe(before);
  });

  it('asks the worker what a sender’s transform was given', async () => {
    const e2ee = await E2EE.start();
    const target = sender();
    const none = { code: 'no_transform' };
    await expect(e2ee.given(target)).rejects.toMatchObject(none);
    void e2ee.attachSender(sender(), 'mic').catch(() => undefined);
    void e2ee.attachSender(target, 'camera').catch(() => undefined);
    const asked = Promise.all([e2ee.given(target), e2ee.given(target)]);
    expect(FakeWorker.latest.sent).toEqual([{ type: 'count', id: 2 }]);
    const given = { streams: { 7: { taken: 3, passed: 2 } }, busy: true };
    FakeWorker.latest.say({ type: 'counted', id: 2, given });
    expect(await asked).toEqual([given, given]);
    const late = e2ee.given(target);
    FakeWorker.latest.say({ type: 'detached', id: 2 });
    FakeWorker.latest.say({ type: 'counted', id: 2 });
    await expect(late).rejects.toMatchObject(none);
    await expect(e2ee.given(target)).rejects.toMatchObject(none);
    e2ee.stop();
  });

  it('knows whether a sender still has its transform, also when the worker is gone', async () => {
    const e2ee = await E2EE.start();
    const [target, other] = [sender(), sender()];
    expect(e2ee.intact(target)).toBe(false);
    void e2ee.attachSender(target, 'mic').catch(() => undefined);
    expect(e2ee.intact(target)).toBe(true);
    void e2ee.attachSender(other, 'camera').catch(() => undefined);
    target.transform = other.transform;
    expect(e2ee.intact(target)).toBe(false);
    other.transform = null;
    expect(e2ee.intact(other)).toBe(false);
    FakeWorker.latest.say({ type: 'detached', id: 1 });
    e2ee.stop();
    expect(e2ee.intact(target)).toBe(false);
  });

  it('passes a refused configuration on, and takes another', async () => {
    const e2ee = await E2EE.start();
    const first = e2ee.configure({ link: 'x', pid: '', name: '' });
    FakeWorker.latest.say({ type: 'refused-config', code: 'bad_link', message: 'no' });
    await expect(first).rejects.toMatchObject({ code: 'bad_link' });
    const second = e2ee.configure({ link: 'y', pid: '', name: '' });
    FakeWorker.latest.say({ type: 'configured' });
    await second;
    await expect(e2ee.configure({ link: 'z', pid: '', name: '' })).rejects.toMatchObject({
      code: 'configured',
    });
  });

  it('is ready when frames are sealed for the first time', async () => {
    const e2ee = await E2EE.start();
    const sending = vi.fn();
    const off = e2ee.on('sending', sending);
    const epoch = { generation: 1, number: 0 };
    FakeWorker.latest.say({ type: 'sending', epoch });
    await e2ee.ready;
    expect(sending).toHaveBeenCalledWith({ epoch });
    off();
    FakeWorker.latest.say({ type: 'sending', epoch });
    expect(sending).toHaveBeenCalledTimes(1);
  });

  it('names a slot as the page knows it when the report comes', async () => {
    const e2ee = await E2EE.start();
    const reports: Frames[] = [];
    e2ee.on('frames', (report) => reports.push(report));
    let mid: string | null = null;
    void e2ee.attachReceiver(receiver(), () => mid, 'video');
    const report = { id: 1, state: 'ok' as const, frames: 2, failed: {}, pid: 'p' };
    FakeWorker.latest.say({ type: 'frames', report: { ...report, source: 'camera' } });
    mid = '4';
    FakeWorker.latest.say({ type: 'frames', report });
    expect(reports).toMatchObject([
      { direction: 'receive', mid: '', pid: 'p', source: 'camera', frames: 2 },
      { mid: '4' },
    ]);
    FakeWorker.latest.say({ type: 'detached', id: 1 });
    FakeWorker.latest.say({ type: 'frames', report });
    expect(reports).toHaveLength(2);
  });

  it('asks an encoder for a key frame of every layer', async () => {
    const e2ee = await E2EE.start();
    const setParameters = vi.fn(() => Promise.resolve());
    const parameters = { encodings: [{ rid: 'l' }, { rid: 'h' }] };
    const target = Object.assign(sender(), { setParameters, getParameters: () => parameters });
    void e2ee.attachSender(target, 'camera');
    FakeWorker.latest.say({ type: 'key-frame-wanted', id: 1 });
    expect(setParameters).toHaveBeenCalledWith(parameters, {
      encodingOptions: [{ keyFrame: true }, { keyFrame: true }],
    });
  });

  it('tells the worker what payload types stand for', async () => {
    const e2ee = await E2EE.start();
    const target = sender();
    void e2ee.attachSender(target, 'mic');
    FakeWorker.latest.say({ type: 'codecs-wanted', id: 1 });
    expect(FakeWorker.latest.sent).toEqual([
      { type: 'codecs', id: 1, codecs: { 111: 'audio/opus' } },
    ]);
  });

  it('tells of a worker that does not answer, dead or busy, and when it does again', async () => {
    vi.useFakeTimers();
    const e2ee = await E2EE.start();
    const told: boolean[] = [];
    e2ee.on('answering', (answers) => told.push(answers));
    const worker = FakeWorker.latest;
    for (let i = 0; i < 3; i++) {
      await vi.advanceTimersByTimeAsync(6_000); // slow
      worker.say({ type: 'counted', id: 0 });
    }
    expect(told).toEqual([]);
    await vi.advanceTimersByTimeAsync(600_000);
    expect(told).toEqual([false]);
    expect(worker.terminated).toBe(false);
    worker.say({ type: 'counted', id: 0 });
    expect(told).toEqual([false, true]);
    expect(worker.sent).toHaveLength(4); // asked once for each answer
    e2ee.stop();
    expect(vi.getTimerCount()).toBe(0);
  });
});
