import { afterEach, beforeEach, vi } from 'vitest';
import { Emitter } from '../signal/emitter';
import type { Encryption, Given } from './ports';

type Events = Parameters<Parameters<Encryption['on']>[1]>[0];

/** What a fake saw, in order: tests compare it as a whole. */
export type Transcript = string[];

/** An Encryption whose worker is the test. */
export class FakeEncryption implements Encryption {
  readonly #events = new Emitter<Record<string, Events>>();
  readonly #attached: (() => void)[] = [];
  #becomeReady!: () => void;
  readonly ready = new Promise<void>((resolve) => (this.#becomeReady = resolve));
  configureError: Error | undefined;
  /** What each transform was given. */
  given = (): Promise<Given> => Promise.resolve({ streams: {}, busy: false });

  intact = (): boolean => true;

  constructor(readonly transcript: Transcript = []) {}

  on: Encryption['on'] = (event, handler) => this.#events.on(event, handler as never);

  emit(event: Parameters<Encryption['on']>[0], payload: unknown): void {
    this.#events.emit(event, payload as Events);
  }

  configure({ pid, name }: { pid: string; name: string }): Promise<void> {
    this.transcript.push(`configure ${pid} ${name}`);
    return this.configureError ? Promise.reject(this.configureError) : Promise.resolve();
  }

  logOpened(logId: string, head: number): void {
    this.transcript.push(`log ${logId} to ${head}`);
  }

  logEntries(entries: { position: number }[]): void {
    this.transcript.push(`entries ${entries.map((e) => e.position).join(' ')}`);
  }

  posted(seq: number, code?: string): void {
    this.transcript.push(`posted ${seq} ${code ?? 'appended'}`);
  }

  attachSender(_: RTCRtpSender, source: string): Promise<void> {
    this.transcript.push(`attach ${source}`);
    return new Promise((resolve) => this.#attached.push(resolve));
  }

  attachReceiver(_: RTCRtpReceiver, slot: string): Promise<void> {
    this.transcript.push(`attach ${slot}`);
    return Promise.resolve();
  }

  stop(): void {
    this.transcript.push('stop');
  }

  acknowledgeTransforms(): void {
    for (const resolve of this.#attached.splice(0)) resolve();
  }

  haveKeys(): void {
    this.#becomeReady();
  }
}

/** An RTCPeerConnection that negotiates with nobody. */
export class FakePeerConnection {
  onconnectionstatechange: (() => void) | null = null;
  connectionState: RTCPeerConnectionState = 'new';
  localDescription: { sdp: string } | null = null;
  /** Of each sender. */
  stats: { bytesSent?: number } = {};
  readonly #kinds: string[] = [];
  readonly #transceivers: { mid: string | null }[] = [];

  #restarts = false;
  #offered = false; // with new credentials

  constructor(readonly transcript: Transcript = []) {}

  /** How often setParameters still fails. */
  busy = 0;

  addTransceiver(
    kind: string,
    init: { direction: string; sendEncodings?: { rid?: string }[] },
  ): unknown {
    this.#kinds.push(kind);
    let encodings: { rid?: string; active?: boolean }[] = init.sendEncodings ?? [{}];
    this.transcript.push(`add ${kind} ${init.direction}`);
    const transceiver = {
      mid: null as string | null,
      setCodecPreferences: () => undefined,
      sender: {
        replaceTrack: (track: { id: string } | null) => {
          this.transcript.push(`send ${kind} ${track?.id ?? 'nothing'}`);
          return Promise.resolve();
        },
        getParameters: () => ({ encodings: encodings.map((encoding) => ({ ...encoding })) }),
        setParameters: (parameters: { encodings: { rid?: string; active?: boolean }[] }) => {
          if (this.busy-- > 0) return Promise.reject(new Error('busy'));
          ({ encodings } = parameters);
          const active = encodings.filter((e) => e.active).map((e) => e.rid ?? 'all');
          this.transcript.push(`encode ${kind} ${active.join(' ') || 'nothing'}`);
          return Promise.resolve();
        },
        getStats: () =>
          Promise.resolve(new Map([['s', { type: 'outbound-rtp', ssrc: 1, ...this.stats }]])),
      },
      receiver: { track: { kind } },
    };
    this.#transceivers.push(transceiver);
    return transceiver;
  }

  setConfiguration({ iceServers = [] }: RTCConfiguration): void {
    for (const { username } of iceServers) this.transcript.push(`relay as ${username}`);
  }

  /** The next offers have new credentials, until one of them is answered. */
  restartIce(): void {
    this.#restarts = true;
  }

  setLocalDescription(): Promise<void> {
    this.#transceivers.forEach((transceiver, i) => (transceiver.mid = `${i}`));
    this.#offered = this.#restarts;
    const how = this.#restarts ? ', restarting' : '';
    this.localDescription = { sdp: `offer of ${this.#kinds.length}${how}` };
    return Promise.resolve();
  }

  setRemoteDescription({ sdp }: { sdp: string }): Promise<void> {
    if (this.#offered) this.#restarts = false;
    this.transcript.push(`answered ${sdp}`);
    return Promise.resolve();
  }

  become(state: RTCPeerConnectionState): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
  }

  close(): void {
    this.transcript.push('close');
  }
}

/** Lets all that is settled run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

/** For the tests of this file: time stands until it is moved, and the browser knows no codecs. */
export function useFakeBrowser(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal('RTCRtpReceiver', { getCapabilities: () => null });
  });
  afterEach(() => {
    vi.unstubAllGlobals();
    vi.useRealTimers();
  });
}
