import { readFileSync } from 'node:fs';
import type { Epoch, FrameCode } from '../types';

/** Cases that the Go implementation writes: `go test ./e2ee/framecrypt -update`. */
interface Golden {
  headers: { kid: number; ctr: number; encoded: string }[];
  keys: {
    baseKey: string;
    kid: number;
    context: number;
    leaf: number;
    epoch: number;
    key: string;
    salt: string;
  }[];
  windows: { context: number; ctrs: number[]; fresh: string }[];
  scenarios: { name: string; steps: Step[] }[];
}

export interface Step {
  do: 'start' | 'send' | 'end' | 'seal' | 'open';
  epoch?: Epoch;
  own?: number;
  members?: number[];
  removed?: number[];
  baseKey?: string;
  context?: number;
  codec?: number;
  frame?: string;
  sealed?: string;
  info?: { kid: number; epoch: Epoch; leaf: number; context: number; ctr: number };
  code?: FrameCode | 'epoch_refused';
}

const path = new URL('../../../../e2ee/framecrypt/testdata/golden.json', import.meta.url);

export const golden = JSON.parse(readFileSync(path, 'utf8')) as Golden;

export const bytes = (hex = ''): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(Buffer.from(hex, 'hex'));

export const hex = (data: ArrayBuffer | Uint8Array): string =>
  Buffer.from(data instanceof Uint8Array ? data : new Uint8Array(data)).toString('hex');
