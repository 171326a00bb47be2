import type { Entry } from '../signal/generated';
import type {
  EncodedFrame,
  Epoch,
  EntryRefused,
  EpochStarted,
  Fatal,
  FrameCode,
  Given,
  Kind,
  Post,
  Source,
  Status,
} from './types';

/** What a transform is for. It travels as the options of RTCRtpScriptTransform. */
export type TransformOptions = { id: number; kind: Kind; codec?: string } & (
  { direction: 'send'; source: Source } | { direction: 'receive' }
);

/** From the page to the worker. */
export type ToWorker =
  | { type: 'configure'; link: string; pid: string; name: string }
  | { type: 'log-opened'; logId: string; head: number }
  | { type: 'log-entries'; entries: Entry[] }
  | { type: 'posted'; seq: number; code?: string }
  | {
      type: 'streams';
      options: TransformOptions;
      readable: ReadableStream<EncodedFrame>;
      writable: WritableStream<EncodedFrame>;
    }
  | { type: 'codecs'; id: number; codecs: Record<number, string> }
  /** Asks what a sender's transform was given; answered by `counted`. */
  | { type: 'count'; id: number };

/** What one transform has done so far. */
export interface TransformReport {
  id: number;
  state: 'idle' | 'ok' | FrameCode;
  frames: number;
  failed: Partial<Record<FrameCode, number>>;
  pid?: string;
  source?: Source;
}

/** From the worker to the page. */
export type FromWorker =
  | { type: 'loaded' }
  | { type: 'configured' }
  | { type: 'refused-config'; code: string; message: string }
  | { type: 'attached'; id: number }
  | { type: 'detached'; id: number }
  | { type: 'codecs-wanted'; id: number }
  /** Nothing is given to a transform that there is not. */
  | { type: 'counted'; id: number; given?: Given }
  | { type: 'key-frame-wanted'; id: number }
  | { type: 'post'; post: Post }
  | { type: 'epoch'; epoch: EpochStarted }
  | { type: 'sending'; epoch: Epoch }
  | { type: 'status'; status: Status }
  | { type: 'refused'; refused: EntryRefused }
  | { type: 'frames'; report: TransformReport }
  | { type: 'fatal'; fatal: Fatal };
