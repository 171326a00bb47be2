import { afterEach, describe, expect, it, vi } from 'vitest';
import { adapt, cameraEncodings, receiveAll, sendableCodecs, sendAs } from './codecs';

afterEach(() => {
  vi.unstubAllGlobals();
});

const codec = (name: string, sdpFmtpLine?: string) => ({
  mimeType: `video/${name}`,
  ...(sdpFmtpLine === undefined ? {} : { sdpFmtpLine }),
});

/** What Chromium has, and what Firefox has. */
const chromium = [
  codec('VP8'),
  codec('rtx'),
  codec('H264', 'packetization-mode=1'),
  codec('AV1'),
  codec('VP9', 'profile-id=0'),
  codec('VP9', 'profile-id=2'),
];
const firefox = [codec('VP8'), codec('rtx'), codec('VP9', 'max-fs=12288'), codec('AV1')];

function withCodecs(codecs: { mimeType: string }[]): void {
  const capabilities = { getCapabilities: () => ({ codecs }) };
  vi.stubGlobal('RTCRtpReceiver', capabilities);
  vi.stubGlobal('RTCRtpSender', capabilities);
}

/** A connection of a browser that keeps, leaves out or refuses the word for layers. */
function connection(layers: 'keeps' | 'leaves out' | 'refuses') {
  const close = vi.fn<() => void>();
  const addTransceiver = (_: string, { sendEncodings }: RTCRtpTransceiverInit) => {
    if (layers === 'refuses') throw new Error('scalabilityMode');
    const encodings = layers === 'keeps' ? sendEncodings : [{}];
    return { sender: { getParameters: () => ({ encodings }) } };
  };
  return { made: { addTransceiver, close } as unknown as RTCPeerConnection, close };
}

describe('sendableCodecs', () => {
  it.each([
    ['keeps', chromium, ['vp8', 'vp9']],
    ['refuses', chromium, ['vp8']],
    ['leaves out', firefox, ['vp8']],
  ] as const)('in a browser that %s layers', (layers, codecs, want) => {
    withCodecs([...codecs]);
    const { made, close } = connection(layers);
    expect(sendableCodecs(() => made)).toEqual(want);
    expect(close).toHaveBeenCalledOnce();
  });

  it('asks for no connection where the codec is not known', () => {
    withCodecs([codec('VP8')]);
    expect(sendableCodecs(() => expect.unreachable())).toEqual(['vp8']);
  });
});

it('has encodings or layers, never both', () => {
  expect(cameraEncodings.vp8.map(({ rid }) => rid)).toEqual(['q', 'h', 'f']);
  expect(cameraEncodings.vp9).toHaveLength(1);
});

describe('what is made of a source', () => {
  const all = { watched: true, rids: ['q', 'h', 'f'] };

  it('is the encodings that are watched', () => {
    const encodings = cameraEncodings.vp8.map((encoding) => ({ ...encoding }));
    expect(adapt(encodings, undefined, 720)).toBe(false);
    expect(adapt(encodings, all, 720)).toBe(false);
    expect(adapt(encodings, { watched: true, rids: ['q'] }, 720)).toBe(true);
    expect(encodings.map(({ active }) => active)).toEqual([true, false, false]);
    expect(adapt(encodings, { watched: false, rids: [] }, 720)).toBe(true);
    expect(encodings.map(({ scaleResolutionDownBy: by }) => by)).toEqual([4, 2, 1]);
  });

  it.each([
    [720, 720, 'L3T3_KEY', 1],
    [720, 541, 'L3T3_KEY', 1],
    [720, 540, 'L2T3_KEY', 2],
    [720, 271, 'L2T3_KEY', 2],
    [720, 270, 'L1T3', 4],
    [720, 90, 'L1T3', 4],
    [720, 0, 'L3T3_KEY', 1], // any
    [undefined, 90, 'L3T3_KEY', 1], // who knows
    [360, 2160, 'L3T3_KEY', 1],
  ])('of %s lines, shown at %s, is %s', (lines, height, mode, by) => {
    const encodings = cameraEncodings.vp9.map((encoding) => ({ ...encoding }));
    expect(adapt(encodings, { watched: true, rids: [], height }, lines)).toBe(mode !== 'L3T3_KEY');
    expect(encodings).toMatchObject([
      { active: true, scalabilityMode: mode, scaleResolutionDownBy: by, maxFramerate: 30 },
    ]);
    expect(adapt(encodings, { watched: true, rids: [], height }, lines)).toBe(false);
    expect(adapt(encodings, { watched: false, rids: [] }, lines)).toBe(true);
    expect(encodings).toMatchObject([{ active: false }]);
  });

  it('is one stream without layers, where the browser makes none', () => {
    const encodings: RTCRtpEncodingParameters[] = [{}];
    expect(adapt(encodings, { watched: true, rids: [], height: 90 }, 720)).toBe(false);
    expect(encodings).toEqual([{ active: true }]);
  });
});

interface Extension {
  uri: string;
  direction: string;
}

const descriptor =
  'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';

/** A transceiver that tells what it was asked for. */
function transceiver(extensible: 'yes' | 'no' | 'refuses') {
  const asked: { codecs: string[]; extensions?: Extension[] } = { codecs: [] };
  const extensions = [
    { uri: 'urn:ietf:params:rtp-hdrext:sdes:mid', direction: 'sendrecv' },
    { uri: descriptor, direction: 'stopped' },
  ];
  const made = {
    setCodecPreferences: (codecs: { mimeType: string; sdpFmtpLine?: string }[]) => {
      asked.codecs = codecs.map((c) => `${c.mimeType} ${c.sdpFmtpLine ?? ''}`.trim());
    },
    ...(extensible === 'no'
      ? {}
      : {
          getHeaderExtensionsToNegotiate: () => extensions,
          setHeaderExtensionsToNegotiate: (wanted: Extension[]) => {
            if (extensible === 'refuses') throw new Error('no');
            asked.extensions = wanted;
          },
        }),
  };
  return { made: made as unknown as RTCRtpTransceiver, asked };
}

describe('what a section offers', () => {
  it('is one codec for an uplink', () => {
    withCodecs(chromium);
    const { made, asked } = transceiver('yes');
    sendAs(made, 'video', 'vp9');
    expect(asked).toEqual({ codecs: ['video/VP9 profile-id=0', 'video/rtx'] });
  });

  it('is all that can be opened, and the descriptor, for a slot', () => {
    withCodecs(chromium);
    const { made, asked } = transceiver('yes');
    receiveAll(made, 'video');
    expect(asked.codecs).toEqual(['video/VP8', 'video/VP9 profile-id=0', 'video/rtx']);
    expect(asked.extensions).toEqual([
      { uri: 'urn:ietf:params:rtp-hdrext:sdes:mid', direction: 'sendrecv' },
      { uri: descriptor, direction: 'recvonly' },
    ]);
  });

  it.each(['no', 'refuses'] as const)('goes without the descriptor: %s', (extensible) => {
    withCodecs(firefox);
    const { made, asked } = transceiver(extensible);
    receiveAll(made, 'video');
    expect(asked).toEqual({ codecs: ['video/VP8', 'video/VP9 max-fs=12288', 'video/rtx'] });
  });

  it('is left to a browser that names no codecs', () => {
    vi.stubGlobal('RTCRtpReceiver', { getCapabilities: () => null });
    const { made, asked } = transceiver('no');
    sendAs(made, 'audio', 'vp8');
    expect(asked.codecs).toEqual([]);
  });
});
