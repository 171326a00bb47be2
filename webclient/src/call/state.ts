import type { Participant, PID, Source } from '../signal/generated';
import type { Epoch, EpochStarted, Member, ReceiverFrames, Status } from './ports';

/** Why a call is over. */
export type EndReason =
  'left' | 'replaced' | 'room_full' | 'refused' | 'session_ended' | 'worker_failed' | 'internal';

/** What a slot carries by the server's word: a hint, for what cannot be decrypted. */
export interface SlotHint {
  slot: string;
  pid: PID;
  source: Source;
}

/** Somebody came or went, told to the user once. */
export interface Notice {
  id: number;
  kind: 'joined' | 'left';
  pid: PID;
  name: string;
}

/** A call as a value. Nothing in it is secret but the safety number, which is to be read out. */
export interface CallState {
  readonly connection: 'connecting' | 'up' | 'lost';
  readonly media: 'connecting' | 'up' | 'down';
  readonly session: Status;
  /** Our own pid; a new one with each participation. */
  readonly pid: PID;
  readonly epoch?: EpochStarted;
  readonly sending?: Epoch;
  /** The roster of the last epoch that we were in, if we have to join again. */
  readonly known: readonly Member[];
  /** Who is connected by the server's word. */
  readonly present: ReadonlyMap<PID, Participant>;
  readonly hints: readonly SlotHint[];
  /** What became of the frames in each slot, by its name. */
  readonly reports: ReadonlyMap<string, ReceiverFrames>;
  readonly notices: readonly Notice[];
  readonly ended?: EndReason;
}

export type CallEvent =
  | { type: 'began'; pid: PID }
  | { type: 'connected'; here: readonly PID[] }
  | { type: 'lost' }
  | { type: 'media'; media: CallState['media'] }
  | { type: 'participant'; participant: Participant }
  | { type: 'gone'; pid: PID }
  | { type: 'hints'; hints: readonly SlotHint[] }
  | { type: 'report'; report: ReceiverFrames }
  | { type: 'epoch'; epoch: EpochStarted }
  | { type: 'sending'; epoch: Epoch }
  | { type: 'status'; status: Status }
  | { type: 'ended'; reason: EndReason };

const keptNotices = 20;

export function initialState(): CallState {
  return {
    connection: 'connecting',
    media: 'connecting',
    session: { state: 'connecting' },
    pid: '',
    known: [],
    present: new Map(),
    hints: [],
    reports: new Map(),
    notices: [],
  };
}

/** The next state. It is a function of its arguments alone. */
export function reduce(state: CallState, event: CallEvent): CallState {
  if (state.ended) return state;
  switch (event.type) {
    case 'began':
      return { ...initialState(), pid: event.pid, known: roster(state), notices: state.notices };
    case 'connected':
      return { ...state, connection: 'up', present: keep(state.present, event.here) };
    case 'lost':
      return { ...state, connection: 'lost' };
    case 'media':
      return event.media === 'up' || event.media === state.media
        ? { ...state, media: event.media }
        : { ...state, media: event.media, reports: new Map(), hints: [] };
    case 'participant':
      return { ...state, present: present(state, event.participant) };
    case 'gone':
      return { ...state, present: without(state.present, event.pid) };
    case 'hints':
      return { ...state, hints: event.hints };
    case 'report':
      return { ...state, reports: new Map(state.reports).set(event.report.mid, event.report) };
    case 'epoch':
      return { ...state, epoch: event.epoch, known: [], notices: notices(state, event.epoch) };
    case 'sending':
      return { ...state, sending: event.epoch };
    case 'status':
      return { ...state, session: event.status };
    case 'ended':
      return { ...state, ended: event.reason };
  }
}

function roster(state: CallState): readonly Member[] {
  const others = state.epoch?.members.filter((member) => member.pid !== state.pid);
  return others ?? state.known;
}

function present(state: CallState, participant: Participant): CallState['present'] {
  return participant.pid === state.pid
    ? state.present
    : new Map(state.present).set(participant.pid, participant);
}

function without(map: CallState['present'], pid: PID): CallState['present'] {
  const rest = new Map(map);
  rest.delete(pid);
  return rest;
}

/** Drops who is no longer here; who is new follows as a participant message. */
function keep(map: CallState['present'], here: readonly PID[]): CallState['present'] {
  return new Map([...map].filter(([pid]) => here.includes(pid)));
}

/** Who came and went between two epochs. Our first epoch tells nothing: they were there before us. */
function notices(state: CallState, next: EpochStarted): readonly Notice[] {
  const before = state.epoch?.members;
  if (!before) return state.notices;
  const news = [
    ...missing(next.members, before).map((member) => ({ kind: 'joined' as const, member })),
    ...missing(before, next.members).map((member) => ({ kind: 'left' as const, member })),
  ];
  const first = (state.notices.at(-1)?.id ?? 0) + 1;
  const added = news.map(({ kind, member }, i) => ({
    id: first + i,
    kind,
    pid: member.pid,
    name: member.name,
  }));
  return [...state.notices, ...added].slice(-keptNotices);
}

function missing(from: readonly Member[], other: readonly Member[]): Member[] {
  return from.filter((member) => !other.some(({ pid }) => pid === member.pid));
}
