import type { FromWorker } from '../src/e2ee/messages';

// What runs in the page. The client's policy forbids eval, so nothing here may need it.

/** Opens cameras with these settings, whatever the page asks for. */
export function useCamera(settings: { width: number; height: number; frameRate: number }): void {
  if (!('mediaDevices' in navigator)) return;
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = (wanted) => open(wanted?.video ? { ...wanted, video: settings } : wanted);
}

/** Opens microphones that the test makes silent or loud. */
export function useVoice(): void {
  if (!('mediaDevices' in navigator)) return;
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  const context = new AudioContext();
  const voice = new GainNode(context, { gain: 0 });
  const tone = new OscillatorNode(context);
  tone.connect(voice);
  tone.start();
  Object.assign(globalThis, { voice });
  devices.getUserMedia = async (wanted) => {
    if (!wanted?.audio) return open(wanted);
    const microphone = new MediaStreamAudioDestinationNode(context);
    voice.connect(microphone);
    await context.resume();
    return microphone.stream;
  };
}

/** How loud a voice of `useVoice` is, from 0 to 1. */
export function speak(gain: number): void {
  (globalThis as unknown as { voice: GainNode }).voice.gain.value = gain;
}

/** What the server answered to the section of the microphone. */
export function answerToVoice(): string {
  const { connections } = (globalThis as unknown as { kept: Kept }).kept;
  const answers = connections.map(({ currentRemoteDescription }) => currentRemoteDescription?.sdp);
  const sections = answers.flatMap((sdp = '') => sdp.split('m='));
  return sections.find((section) => section.startsWith('audio')) ?? '';
}

/** How many places for pictures the server has answered with a Dependency Descriptor. */
export function slotsWithDescriptor(): number {
  const { connections } = (globalThis as unknown as { kept: Kept }).kept;
  const answers = connections.map(({ currentRemoteDescription }) => currentRemoteDescription?.sdp);
  const sections = answers.flatMap((sdp = '') => sdp.split('m='));
  const slots = sections.filter((section) => /^video[^]*a=sendonly/.test(section));
  return slots.filter((section) => section.includes('dependency-descriptor')).length;
}

export function labels(elements: Element[]): (string | null)[] {
  return elements.map((element) => element.getAttribute('aria-label'));
}

/** How often the picture in a tile has changed, over all calls so far. */
export function pixelChanges(name: string): number {
  interface Seen {
    pixels: string;
    changes: number;
  }
  const memory = globalThis as { seen?: Record<string, Seen> };
  const seen = (memory.seen ??= {});
  const before = (seen[name] ??= { pixels: '', changes: 0 });
  const video = document.querySelector<HTMLVideoElement>(
    `[aria-label="${CSS.escape(name)}"] video`,
  );
  if (!video || video.videoWidth === 0) return before.changes;
  const canvas = new OffscreenCanvas(32, 18);
  const context = canvas.getContext('2d');
  if (!context) return before.changes;
  context.drawImage(video, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const lit = data.some((value, i) => i % 4 !== 3 && value > 40);
  const pixels = data.join();
  if (lit && pixels !== before.pixels) seen[name] = { pixels, changes: before.changes + 1 };
  return before.changes;
}

/** The loudest sample of the last 0.7 s over all that the page plays; the fake devices beep twice a second. */
export function loudness(): number {
  const memory = globalThis as { ears?: { heard: Set<MediaStream>; node: AnalyserNode } };
  memory.ears ??= {
    heard: new Set(),
    node: new AnalyserNode(new AudioContext(), { fftSize: 32768 }),
  };
  const { heard, node } = memory.ears;
  for (const { srcObject } of document.querySelectorAll('audio')) {
    if (!(srcObject instanceof MediaStream) || heard.has(srcObject)) continue;
    heard.add(srcObject);
    (node.context as AudioContext).createMediaStreamSource(srcObject).connect(node);
  }
  const samples = new Float32Array(node.fftSize);
  node.getFloatTimeDomainData(samples);
  return samples.reduce((loudest, sample) => Math.max(loudest, Math.abs(sample)), 0);
}

/** What `keepHandles` keeps. */
interface Kept {
  workers: Worker[];
  connections: RTCPeerConnection[];
  /** How many frames each transform was given, whatever became of them. */
  frames: Record<number, number>;
}

/** Keeps what the page makes as `kept`, so that a test can break it. */
export function keepHandles(): void {
  const kept: Kept = { workers: [], connections: [], frames: {} };
  Object.assign(globalThis, { kept });
  const { Worker: PlainWorker, RTCPeerConnection: PlainConnection } = globalThis;
  globalThis.Worker = class extends PlainWorker {
    constructor(url: string | URL, options?: WorkerOptions) {
      super(url, options);
      kept.workers.push(this);
      this.addEventListener('message', ({ data }: MessageEvent<FromWorker>) => {
        if (data.type !== 'frames') return;
        const { id, frames, failed } = data.report;
        kept.frames[id] = Object.values(failed).reduce((sum, count) => sum + count, frames);
      });
    }
  };
  globalThis.RTCPeerConnection = class extends PlainConnection {
    constructor(config?: RTCConfiguration) {
      super(config);
      kept.connections.push(this);
    }
  };
}

/** Ends the workers behind the client's back, as a crash would. */
export function killWorkers(): void {
  for (const worker of (globalThis as unknown as { kept: Kept }).kept.workers) worker.terminate();
}

/** Takes the transforms off all senders. */
export function dropTransforms(): void {
  for (const connection of (globalThis as unknown as { kept: Kept }).kept.connections)
    for (const sender of connection.getSenders()) sender.transform = null;
}

/** Packets of media that have been sent so far. */
export async function packetsSent(): Promise<number> {
  let sent = 0;
  for (const connection of (globalThis as unknown as { kept: Kept }).kept.connections)
    (await connection.getStats()).forEach((stats: RTCOutboundRtpStreamStats) => {
      if (stats.type === 'outbound-rtp') sent += stats.packetsSent ?? 0;
    });
  return sent;
}

/**
 * Counts turns of the page, of 100 ms each, in which it sends: from the last call of `turnsOfSending`
 * until all its connections are closed. A page that has no time has fewer of them.
 */
export function watchSending(): void {
  const watch = { turns: 0 };
  Object.assign(globalThis, { watch });
  const sends = async (): Promise<boolean> => {
    const { connections } = (globalThis as unknown as { kept: Kept }).kept;
    for (const connection of connections) {
      if (connection.connectionState === 'closed') continue;
      for (const stats of (await connection.getStats()).values())
        if ((stats as RTCOutboundRtpStreamStats).type === 'outbound-rtp')
          if ((stats as RTCOutboundRtpStreamStats).bytesSent) return true;
    }
    return false;
  };
  setInterval(() => void sends().then((isSending) => (watch.turns += isSending ? 1 : 0)), 100);
}

/** How many turns there were since it was asked last. */
export function turnsOfSending(): number {
  const { watch } = globalThis as unknown as { watch: { turns: number } };
  const { turns } = watch;
  watch.turns = 0;
  return turns;
}

/** Frames that came to the transforms so far, by the worker's word. */
export function framesArrived(): number {
  const { frames } = (globalThis as unknown as { kept: Kept }).kept;
  return Object.values(frames).reduce((sum, count) => sum + count, 0);
}

export function openConnections(): number {
  const { connections } = (globalThis as unknown as { kept: Kept }).kept;
  return connections.filter(({ connectionState }) => connectionState !== 'closed').length;
}

/** What the page decodes of the one picture that it is sent. */
export interface Decoding {
  codec: string;
  width: number;
  height: number;
  frames: number;
  keyFrames: number;
  freezes: number;
  freezeTime: number; // s
}

export async function decoding(): Promise<Decoding> {
  const { connections } = (globalThis as unknown as { kept: Kept }).kept;
  const seen = {
    codec: '',
    width: 0,
    height: 0,
    frames: 0,
    keyFrames: 0,
    freezes: 0,
    freezeTime: 0,
  };
  for (const connection of connections) {
    const report = await connection.getStats();
    report.forEach((stats: RTCInboundRtpStreamStats) => {
      if (stats.type !== 'inbound-rtp' || stats.kind !== 'video' || !stats.framesDecoded) return;
      const codec = report.get(stats.codecId ?? '') as { mimeType?: string } | undefined;
      seen.codec = codec?.mimeType ?? '';
      seen.width = stats.frameWidth ?? 0;
      seen.height = stats.frameHeight ?? 0;
      seen.frames += stats.framesDecoded;
      seen.keyFrames += stats.keyFramesDecoded ?? 0;
      seen.freezes += stats.freezeCount ?? 0;
      seen.freezeTime += stats.totalFreezesDuration ?? 0;
    });
  }
  return seen;
}

/** The layers that the page makes of its camera, and how many times smaller than it the largest is. */
export function sending(): string {
  const { connections } = (globalThis as unknown as { kept: Kept }).kept;
  const senders = connections.flatMap((connection) => connection.getSenders());
  const camera = senders.find(({ track }) => track?.kind === 'video');
  const [encoding]: (RTCRtpEncodingParameters & { scalabilityMode?: string })[] =
    camera?.getParameters().encodings ?? [];
  return `${encoding?.scalabilityMode}/${encoding?.scaleResolutionDownBy}`;
}

/**
 * Leaves the Dependency Descriptor out of the places for pictures, as other browsers do. Chromium
 * offers it in all sections of a connection that sends layers in one.
 */
export function forgetExtensions(): void {
  interface Extensible {
    getHeaderExtensionsToNegotiate(): { uri: string; direction: string }[];
    setHeaderExtensionsToNegotiate(extensions: { uri: string; direction: string }[]): void;
  }
  const transceivers = RTCRtpTransceiver.prototype as unknown as Extensible;
  // eslint-disable-next-line @typescript-eslint/unbound-method -- both are called with theirs below
  const { setHeaderExtensionsToNegotiate: set } = transceivers;
  // eslint-disable-next-line @typescript-eslint/unbound-method
  const { addTransceiver } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.addTransceiver = function (kind, init) {
    const transceiver = addTransceiver.call(this, kind, init);
    if (kind !== 'video' || init?.direction !== 'recvonly') return transceiver;
    const extensions = (transceiver as unknown as Extensible).getHeaderExtensionsToNegotiate();
    const others = extensions.map((one) =>
      one.uri.includes('dependency-descriptor') ? { ...one, direction: 'stopped' } : one,
    );
    set.call(transceiver as unknown as Extensible, others);
    return transceiver;
  };
  Reflect.deleteProperty(RTCRtpTransceiver.prototype, 'setHeaderExtensionsToNegotiate');
}

/** Has the camera's picture keep its size on a busy machine: Chromium would make a smaller one, of fewer layers. */
export function keepResolution(): void {
  // eslint-disable-next-line @typescript-eslint/unbound-method -- called with its sender below
  const { replaceTrack } = RTCRtpSender.prototype;
  RTCRtpSender.prototype.replaceTrack = async function (track) {
    await replaceTrack.call(this, track);
    if (track?.kind !== 'video') return;
    const parameters = { ...this.getParameters(), degradationPreference: 'maintain-resolution' };
    await this.setParameters(parameters as RTCRtpSendParameters);
  };
}
