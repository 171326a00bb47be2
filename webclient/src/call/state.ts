import { sources } from '../e2ee/types';
import type { Participant, PID, Source } from '../signal/generated';
import type { Epoch, EpochStarted, Member, ReceiverFrames, SenderFrames, Status } from './ports';

/** Why a call is over. */
export type EndReason =
  | 'left'
  | 'replaced'
  | 'room_full'
  | 'server_full'
  | 'refused'
  | 'session_ended'
  | 'worker_failed'
  | 'sent_in_clear'
  | 'internal';

/** What a slot carries by the server's word: a hint, for what cannot be decrypted. */
export interface SlotHint {
  slot: string;
  pid: PID;
  source: Source;
}

/** What became of the frames in a slot, and when (as CallState's time). */
export interface SlotFrames extends ReceiverFrames {
  /** When the count of opened frames last rose. */
  openedAt: number;
  /** When that or a count of failures last rose. */
  changedAt: number;
}

/** Who is connected by the server's word, and when it said so (as CallState's time). */
interface Present extends Participant {
  /** When it first named them. */
  since: number;
  /** When it said that a source turned silent or dark; at most every 10 s. */
  mutedAt: Partial<Record<Source, number>>;
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
  /** When this state was made, in ms of a clock that only goes forward. */
  readonly time: number;
  readonly connection: 'connecting' | 'up' | 'lost';
  readonly media: 'connecting' | 'up' | 'down';
  readonly session: Status;
  /** Whether the worker that encrypts answers. */
  readonly answers: boolean;
  /** Our own pid; a new one with each participation. */
  readonly pid: PID;
  readonly epoch?: EpochStarted;
  readonly sending?: Epoch;
  /** The roster of the last epoch that we were in, if we have to join again. */
  readonly known: readonly Member[];
  /** Who is connected by the server's word. */
  readonly present: ReadonlyMap<PID, Present>;
  readonly hints: readonly SlotHint[];
  /** What became of the frames in each slot, by its name. */
  readonly reports: ReadonlyMap<string, SlotFrames>;
  /** How many frames of each of our sources were sealed, and when that last rose. */
  readonly sent: ReadonlyMap<Source, { frames: number; at: number }>;
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
  | { type: 'sent'; report: SenderFrames }
  /** Time passes, and nothing else. */
  | { type: 'tick' }
  | { type: 'epoch'; epoch: EpochStarted }
  | { type: 'sending'; epoch: Epoch }
  | { type: 'status'; status: Status }
  | { type: 'encryption'; answers: boolean }
  | { type: 'ended'; reason: EndReason };

const keptNotices = 20;
const muteHolds = 10_000; // ms; a server that turns a mark to and fro gains no time by it

export function initialState(): CallState {
  return {
    time: 0,
    connection: 'connecting',
    media: 'connecting',
    session: { state: 'connecting' },
    answers: true,
    pid: '',
    known: [],
    present: new Map(),
    hints: [],
    reports: new Map(),
    sent: new Map(),
    notices: [],
  };
}

/** The next state, at this time in ms. It is a function of its arguments alone. */
export function reduce(state: CallState, event: CallEvent, time: number): CallState {
  return state.ended ? state : next({ ...state, time }, event);
}

function next(state: CallState, event: CallEvent): CallState {
  switch (event.type) {
    case 'began':
      return begin(state, event.pid);
    case 'connected':
      return { ...state, connection: 'up', present: keep(state, event.here) };
    case 'lost':
      return { ...state, connection: 'lost' };
    case 'media':
      return event.media === 'up' || event.media === state.media
        ? { ...state, media: event.media }
        : { ...state, media: event.media, reports: new Map(), sent: new Map(), hints: [] };
    case 'participant':
      return { ...state, present: present(state, event.participant) };
    case 'gone':
      return { ...state, present: without(state.present, event.pid) };
    case 'hints':
      return { ...state, hints: event.hints };
    case 'report':
      return { ...state, reports: withReport(state, event.report) };
    case 'sent':
      return { ...state, sent: withSent(state, event.report) };
    case 'tick':
      return state;
    case 'epoch':
      return { ...state, epoch: event.epoch, known: [], notices: notices(state, event.epoch) };
    case 'sending':
      return { ...state, sending: event.epoch };
    case 'status':
      return { ...state, session: event.status };
    case 'encryption':
      return { ...state, answers: event.answers };
    case 'ended':
      return { ...state, ended: event.reason };
  }
}

function begin({ time, ...before }: CallState, pid: PID): CallState {
  const { notices } = before;
  return { ...initialState(), time, pid, known: roster(before), notices };
}

function roster(state: Pick<CallState, 'epoch' | 'pid' | 'known'>): readonly Member[] {
  const others = state.epoch?.members.filter((member) => member.pid !== state.pid);
  return others ?? state.known;
}

function present(state: CallState, participant: Participant): CallState['present'] {
  const { pid } = participant;
  if (pid === state.pid) return state.present;
  const before = state.present.get(pid);
  const mutedAt = { ...before?.mutedAt };
  for (const source of sources) {
    const turned = isOn(before, source) && !isOn(participant, source);
    if (turned && state.time - (mutedAt[source] ?? -Infinity) > muteHolds)
      mutedAt[source] = state.time;
  }
  const since = before?.since ?? state.time;
  return new Map(state.present).set(pid, { ...participant, since, mutedAt });
}

function isOn(participant: Participant | undefined, source: Source): boolean {
  return participant?.publications.some((p) => p.source === source && !p.muted) ?? false;
}

function withReport({ reports, time }: CallState, report: ReceiverFrames): CallState['reports'] {
  const before = reports.get(report.mid);
  const opens = report.frames > (before?.frames ?? 0);
  const changes = opens || failures(report) > (before ? failures(before) : 0);
  const openedAt = opens ? time : (before?.openedAt ?? -Infinity);
  const changedAt = changes ? time : (before?.changedAt ?? -Infinity);
  return new Map(reports).set(report.mid, { ...report, openedAt, changedAt });
}

function failures({ failed }: ReceiverFrames): number {
  return Object.values(failed).reduce((sum, count) => sum + count, 0);
}

function withSent({ sent, time }: CallState, report: SenderFrames): CallState['sent'] {
  const { source, frames } = report;
  const before = sent.get(source);
  const at = frames > (before?.frames ?? 0) ? time : (before?.at ?? -Infinity);
  return new Map(sent).set(source, { frames, at });
}

function without(map: CallState['present'], pid: PID): CallState['present'] {
  const rest = new Map(map);
  rest.delete(pid);
  return rest;
}

/** Who is here by a list of pids; what they publish follows as participant messages. */
function keep({ present, pid: own, time }: CallState, here: readonly PID[]): CallState['present'] {
  const unknown = { publications: [], since: time, mutedAt: {} };
  const others = here.filter((pid) => pid !== own);
  return new Map(others.map((pid) => [pid, present.get(pid) ?? { pid, ...unknown }]));
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
