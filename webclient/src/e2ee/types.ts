import type { Commit, Create, Join } from '../signal/generated';

/** What a publication shows; in the order of the SFrame contexts 0 to 3. */
export const sources = ['mic', 'camera', 'screen', 'screen-audio'] as const;
export type Source = (typeof sources)[number];

export type Kind = 'audio' | 'video';

export const kindOf = (source: Source): Kind =>
  source === 'mic' || source === 'screen-audio' ? 'audio' : 'video';

/** An epoch of the group; of a new group the generation is higher. */
export interface Epoch {
  readonly generation: number;
  readonly number: number;
}

export const sameEpoch = (a: Epoch, b: Epoch): boolean =>
  a.generation === b.generation && a.number === b.number;

export const before = (a: Epoch, b: Epoch): boolean =>
  a.generation !== b.generation ? a.generation < b.generation : a.number < b.number;

/** One leaf of the group, as MLS has it. */
export interface Member {
  leaf: number;
  pid: string;
  name: string;
  /** The Ed25519 key that signed the leaf's identity, in base64. */
  device: string;
}

/** Why a frame was not sealed or not opened: the codes of the Go package framecrypt. */
export type FrameCode =
  | 'missing_key'
  | 'decrypt_failed'
  | 'unencrypted_frame'
  | 'replayed'
  | 'removed'
  | 'short_frame'
  | 'no_send_key'
  | 'codec_unsupported';

/** What the room is asked to append to its log. It is answered by `posted`. */
export type Post = { seq: number } & (
  { type: 'join'; body: Join } | { type: 'create'; body: Create } | { type: 'commit'; body: Commit }
);

export interface EpochStarted {
  epoch: Epoch;
  own: number;
  members: Member[];
  /** 30 digits in groups of five. */
  safetyNumber: string;
}

export interface Status {
  state: 'connecting' | 'waiting' | 'member' | 'rejoining' | 'ended';
  /** Why, where there is something to say. */
  code?: string;
}

export interface EntryRefused {
  position: number;
  pid: string;
  code: string;
}

interface Counts {
  kind: Kind;
  /** What became of the latest frames; idle before the first. */
  state: 'idle' | 'ok' | FrameCode;
  /** Frames that passed, sealed or opened. It rises if the transform really runs. */
  frames: number;
  /** Frames that were dropped, by reason. */
  failed: Partial<Record<FrameCode, number>>;
}

/** What a sender's transform has done so far. */
export type SenderFrames = Counts & { direction: 'send'; source: Source };

/** What a receiver's transform has done so far, and whose frames it opens. */
export type ReceiverFrames = Counts & {
  direction: 'receive';
  mid: string;
  /** Who is shown: proven by the frames, not said by the server. */
  pid?: string;
  source?: Source;
};

export type Frames = SenderFrames | ReceiverFrames;

/** What a sender's transform has to do with, by the worker's own word. */
export interface Given {
  /** Of each RTP stream, by its SSRC; under 0, where frames do not tell theirs. */
  streams: Record<number, StreamCounts>;
  /** Whether it is at a frame: the browser may have more for it then. */
  busy: boolean;
}

export interface StreamCounts {
  /** Frames that came, whatever became of them. */
  taken: number;
  /** Frames that were sealed and given back; counted before they are, so that none leaves uncounted. */
  passed: number;
}

/** The encryption has stopped and lets no frame pass any more. */
export interface Fatal {
  code: string;
  message: string;
}

/** What both kinds of encoded frames have, in every browser. */
export interface EncodedFrame {
  data: ArrayBuffer;
  getMetadata(): {
    mimeType?: string;
    payloadType?: number;
    rtpTimestamp?: number;
    synchronizationSource?: number;
  };
}

/** An error with a stable code. */
export class E2EEError extends Error {
  constructor(
    readonly code: string,
    message: string,
  ) {
    super(message);
    this.name = 'E2EEError';
  }
}
