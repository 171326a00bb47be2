import type { Code } from './generated';

/** Codes of our own, beside those of the server. */
type OwnCode = 'connection_lost' | 'timeout' | 'closed';

/** A request that failed. Programs read the code, people the message. */
export class SignalError extends Error {
  override readonly name = 'SignalError';

  constructor(
    readonly code: Code | OwnCode,
    message: string,
  ) {
    super(message);
  }
}

/**
 * What a fatal code asks for: `resume` takes the lost connection up again, `renew` needs a fresh
 * pid (and with it a fresh leaf), `end` is final.
 */
export type Remedy = 'resume' | 'renew' | 'end';

/** Says what to do after the server closed a connection with this code, if any. */
export function remedyFor(code: Code | undefined): Remedy {
  switch (code) {
    case 'resume_refused':
    case 'already_here':
    case 'log_full':
      return 'renew';
    case 'replaced':
    case 'room_full':
    case 'server_full':
    case 'too_large':
    case 'not_ready':
      return 'end';
    default:
      return 'resume';
  }
}
