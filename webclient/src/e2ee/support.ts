import type { EncodedFrame } from './types';

/** How a page can put itself between encoder and network. */
type Support = 'script-transform' | 'encoded-streams';

/** The streams of Chromium's older API, which TypeScript's library does not have. */
export interface EncodedStreams {
  createEncodedStreams?(): {
    readable: ReadableStream<EncodedFrame>;
    writable: WritableStream<EncodedFrame>;
  };
}

/**
 * What this browser has: RTCRtpScriptTransform, or only Chromium's older createEncodedStreams.
 * Undefined means that no call is possible here: there is none without encryption.
 */
export function supported(): Support | undefined {
  if (typeof WebAssembly !== 'object' || typeof crypto !== 'object' || !('subtle' in crypto)) {
    return undefined;
  }
  if (typeof Worker !== 'function' || typeof RTCRtpSender !== 'function') return undefined;
  if (typeof RTCRtpScriptTransform === 'function') return 'script-transform';
  const sender = RTCRtpSender.prototype as EncodedStreams;
  return typeof sender.createEncodedStreams === 'function' ? 'encoded-streams' : undefined;
}

/**
 * What an RTCPeerConnection of an encrypted call is made with, beside its own settings. The
 * older API works only on a connection that was made for it.
 */
export function peerConnectionConfig(iceServers: RTCIceServer[]): RTCConfiguration {
  const config: RTCConfiguration & { encodedInsertableStreams?: boolean } = { iceServers };
  if (supported() === 'encoded-streams') config.encodedInsertableStreams = true;
  return config;
}
