import { supported } from '../e2ee/support';
import type { Lack } from './words';

/** What this browser lacks for a meeting; undefined is nothing. Without it there is no call. */
export function lackOf(scope: object = globalThis): Lack | undefined {
  const has = (name: string): boolean => name in scope;
  if (has('isSecureContext') && !(scope as typeof globalThis).isSecureContext) return 'insecure';
  if (!has('RTCPeerConnection')) return 'webrtc';
  if (!has('WebAssembly')) return 'wasm';
  return supported() === undefined ? 'transforms' : undefined;
}
