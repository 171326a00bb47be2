import type {
  Epoch,
  EpochStarted,
  Fatal,
  Frames,
  Given,
  Kind,
  Post,
  Source,
  Status,
} from '../e2ee/types';
import type { Entry } from '../signal/generated';

export type {
  Epoch,
  EpochStarted,
  FrameCode,
  Given,
  Kind,
  Member,
  Post,
  ReceiverFrames,
  SenderFrames,
  Status,
  StreamCounts,
} from '../e2ee/types';

interface EncryptionEvents {
  post: Post;
  epoch: EpochStarted;
  sending: { epoch: Epoch };
  status: Status;
  frames: Frames;
  /** Whether the worker answers. */
  answering: boolean;
  fatal: Fatal;
}

/** What a call asks of the end-to-end encryption; the class E2EE does it in a worker. */
export interface Encryption {
  on<K extends keyof EncryptionEvents>(
    event: K,
    handler: (payload: EncryptionEvents[K]) => void,
  ): () => void;
  configure(options: { link: string; pid: string; name: string }): Promise<void>;
  logOpened(logId: string, head: number): void;
  logEntries(entries: Entry[]): void;
  /** Without a code: appended. `connection_lost`: nobody knows; the log will tell. */
  posted(seq: number, code?: string): void;
  /** Sets the transform before it returns; resolves when the worker has acknowledged it. */
  attachSender(sender: RTCRtpSender, source: Source): Promise<void>;
  /**
   * What a sender's transform was given so far, by the worker's word, whenever that comes. It
   * rejects if there is no transform.
   */
  given(sender: RTCRtpSender): Promise<Given>;
  /** Whether a sender still has the transform that `attachSender` gave it. */
  intact(sender: RTCRtpSender): boolean;
  /** Sets the transform before it returns; reports name the receiver by `mid`, here a slot's name. */
  attachReceiver(receiver: RTCRtpReceiver, mid: string, kind: Kind): Promise<void>;
  /** Resolved when the worker has keys to send with. */
  readonly ready: Promise<void>;
  stop(): void;
}
