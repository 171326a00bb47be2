import { defaultCodec, sendableCodecs, type VideoCodec } from '../call/codecs';

const storageKey = 'conclave.codec';

/** What this device sends its picture as, if the browser still can. */
export function rememberedCodec(): VideoCodec {
  const remembered = stored();
  if (remembered === null || remembered === defaultCodec) return defaultCodec;
  return sendableCodecs().find((codec) => codec === remembered) ?? defaultCodec;
}

export function rememberCodec(codec: VideoCodec): void {
  try {
    localStorage.setItem(storageKey, codec);
  } catch {
    // Storage is forbidden or full; the default is used next time.
  }
}

function stored(): string | null {
  try {
    return localStorage.getItem(storageKey);
  } catch {
    return null;
  }
}
