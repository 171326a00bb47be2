import type { SourceDemand } from '../signal/generated';
import type { Kind } from './ports';

/** What the camera's picture may be coded by: codecs whose frames can be sealed. */
export type VideoCodec = 'vp8' | 'vp9';

export const defaultCodec: VideoCodec = 'vp8';

const mimeTypes: Record<VideoCodec, RegExp> = { vp8: /^video\/vp8$/i, vp9: /^video\/vp9$/i };

/** Three sizes of the camera, the smallest first, so that each viewer is sent what its tile needs. */
const simulcast: RTCRtpEncodingParameters[] = [
  { rid: 'q', scaleResolutionDownBy: 4, maxBitrate: 150_000, maxFramerate: 30 },
  { rid: 'h', scaleResolutionDownBy: 2, maxBitrate: 500_000, maxFramerate: 30 },
  { rid: 'f', scaleResolutionDownBy: 1, maxBitrate: 1_700_000, maxFramerate: 30 },
];

/** What TypeScript's library does not have yet. */
interface ScalableEncoding extends RTCRtpEncodingParameters {
  scalabilityMode?: string;
}

/**
 * The same sizes as layers of one stream, all or only the lower ones. Above a key frame they do not
 * refer to each other, so that a viewer is sent one of them, not also those below it.
 */
const layers: ScalableEncoding[] = [
  { scalabilityMode: 'L1T3', scaleResolutionDownBy: 4, maxBitrate: 150_000 },
  { scalabilityMode: 'L2T3_KEY', scaleResolutionDownBy: 2, maxBitrate: 600_000 },
  { scalabilityMode: 'L3T3_KEY', scaleResolutionDownBy: 1, maxBitrate: 2_000_000 },
];

const layered: ScalableEncoding[] = [{ ...layers.at(-1), maxFramerate: 30 }];

const tolerance = 1.5; // how far a picture is stretched before a larger one is worth its price

/** The fewest layers of a picture of so many lines that do where it is shown at this height. */
function layersFor(lines: number, height: number): ScalableEncoding | undefined {
  const isEnough = ({ scaleResolutionDownBy: by = 1 }: ScalableEncoding): boolean =>
    (lines / by) * tolerance >= height;
  return height > 0 ? (layers.find(isEnough) ?? layers.at(-1)) : layers.at(-1);
}

/**
 * Sets what of a source is made: the encodings, or the layers of the one there is, that somebody
 * watches. It says whether anything has changed. `lines` is the height of the source in pixels.
 */
export function adapt(
  encodings: ScalableEncoding[],
  demand: Pick<SourceDemand, 'watched' | 'rids' | 'height'> | undefined,
  lines: number | undefined,
): boolean {
  let changed = false;
  for (const encoding of encodings) {
    const { rid, active: was = true, scalabilityMode: mode } = encoding;
    encoding.active = !demand || (demand.watched && (!rid || demand.rids.includes(rid)));
    changed ||= was !== encoding.active;
    if (rid || mode === undefined || !encoding.active) continue;
    const wanted = layersFor(lines ?? 0, lines ? (demand?.height ?? 0) : 0);
    changed ||= mode !== wanted?.scalabilityMode;
    Object.assign(encoding, wanted);
  }
  return changed;
}

export const cameraEncodings: Record<VideoCodec, RTCRtpEncodingParameters[]> = {
  vp8: simulcast,
  vp9: layered,
};

/** The codecs that this browser sends in several sizes; the default is always among them. */
export function sendableCodecs(create = () => new RTCPeerConnection()): VideoCodec[] {
  const known = RTCRtpSender.getCapabilities('video')?.codecs ?? [];
  const isKnown = known.some(({ mimeType }) => mimeTypes.vp9.test(mimeType));
  return isKnown && sendsLayers(create) ? ['vp8', 'vp9'] : ['vp8'];
}

/** A browser that does not know layers refuses them, or leaves the word out. */
function sendsLayers(create: () => RTCPeerConnection): boolean {
  const connection = create();
  try {
    const { sender } = connection.addTransceiver('video', { sendEncodings: layered });
    const [encoding]: ScalableEncoding[] = sender.getParameters().encodings;
    return encoding?.scalabilityMode !== undefined;
  } catch {
    return false;
  } finally {
    connection.close();
  }
}

/** No RED: under end-to-end encryption nobody can convert it. */
const opus = /^audio\/opus$/i;
const repair = /^video\/rtx$/i;

/** Has an uplink send this codec and no other: its frames pass one rule of what stays in clear. */
export function sendAs(transceiver: RTCRtpTransceiver, kind: Kind, codec: VideoCodec): void {
  prefer(transceiver, kind, kind === 'audio' ? [opus] : [mimeTypes[codec], repair]);
}

/** Has a slot take whatever the others may send. */
export function receiveAll(transceiver: RTCRtpTransceiver, kind: Kind): void {
  prefer(transceiver, kind, kind === 'audio' ? [opus] : [mimeTypes.vp8, mimeTypes.vp9, repair]);
  if (kind === 'video') offerDependencies(transceiver);
}

function prefer(transceiver: RTCRtpTransceiver, kind: Kind, wanted: RegExp[]): void {
  const known = RTCRtpReceiver.getCapabilities(kind)?.codecs ?? [];
  const codecs = wanted.flatMap((type) =>
    known.filter(({ mimeType, sdpFmtpLine }) => type.test(mimeType) && isPlain(sdpFmtpLine)),
  );
  if (codecs.length > 0) transceiver.setCodecPreferences(codecs);
}

/** Of VP9, the profile that all encoders make; 8 bits, 4:2:0. */
const isPlain = (parameters = ''): boolean => !/profile-id=[^0]/.test(parameters);

const dependencyDescriptor =
  'https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension';

interface HeaderExtension {
  uri: string;
  direction: RTCRtpTransceiverDirection;
}

/** What only Chromium has, and TypeScript's library does not. */
interface Extensible {
  getHeaderExtensionsToNegotiate?(): HeaderExtension[];
  setHeaderExtensionsToNegotiate?(extensions: HeaderExtension[]): void;
}

/**
 * Asks for the Dependency Descriptor in a slot, which says of each frame what it builds on. By itself
 * Chromium offers it on connections that send layers. Without it a slot works too.
 */
function offerDependencies(transceiver: RTCRtpTransceiver & Extensible): void {
  const extensions = transceiver.getHeaderExtensionsToNegotiate?.() ?? [];
  const descriptor = extensions.find(({ uri }) => uri === dependencyDescriptor);
  if (!descriptor) return;
  descriptor.direction = 'recvonly';
  try {
    transceiver.setHeaderExtensionsToNegotiate?.(extensions);
  } catch {
    // It goes without.
  }
}
