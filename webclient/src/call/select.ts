import type { PID, Source } from '../signal/generated';
import { sameEpoch } from '../e2ee/types';
import type { FrameCode, Member, ReceiverFrames } from './ports';
import type { CallState } from './state';

// What the page shows, derived from a CallState. Names and the roster come from MLS, never from
// the server; whom a slot shows comes from the key that opened its frames.

/** The picture of a tile. */
export type Picture =
  | { kind: 'off' }
  | { kind: 'coming' }
  | { kind: 'live'; slot: string }
  | { kind: 'locked'; why: Trouble };

/** What keeps frames from being shown for longer than a moment. */
export type Trouble = 'missing_key' | 'decrypt_failed' | 'unencrypted_frame' | 'codec_unsupported';

/** How a call stands, in one word. */
export type Phase = 'connecting' | 'waiting' | 'in' | 'reconnecting' | 'ended';

export function phase(state: CallState): Phase {
  if (state.ended) return 'ended';
  if (state.connection === 'lost') return 'reconnecting';
  const rejoins = state.session.state === 'rejoining' || state.known.length > 0;
  if (rejoins) return 'reconnecting';
  if (state.connection === 'connecting' || state.session.state === 'connecting')
    return 'connecting';
  if (state.session.state === 'waiting') return 'waiting';
  return state.media === 'down' ? 'reconnecting' : 'in';
}

/** The members of the group, by leaf; without us before we are one of them. */
export function members(state: CallState): readonly Member[] {
  return state.epoch?.members ?? state.known;
}

export function others(state: CallState): readonly Member[] {
  return members(state).filter((member) => member.pid !== state.pid);
}

/** Who is connected and not (yet) a member: on their way in, or shut out. They have no name. */
export function joining(state: CallState): PID[] {
  const inside = new Set(members(state).map((member) => member.pid));
  return [...state.present.keys()].filter((pid) => !inside.has(pid) && pid !== state.pid);
}

/** The slot whose frames open under this member's key; the one in use, if several once showed it. */
export function slotOf(state: CallState, pid: PID, source: Source): string | undefined {
  const shown = [...state.reports.values()].filter((r) => r.pid === pid && r.source === source);
  const open = shown.filter((r) => !isTrouble(r.state));
  const hinted = hintFor(state, pid, source);
  return (open.find((r) => r.mid === hinted) ?? mostFrames(open))?.mid;
}

function mostFrames(reports: readonly ReceiverFrames[]): ReceiverFrames | undefined {
  return reports.reduce<ReceiverFrames | undefined>(
    (best, report) => (best && best.frames >= report.frames ? best : report),
    undefined,
  );
}

function hintFor(state: CallState, pid: PID, source: Source): string | undefined {
  return state.hints.find((hint) => hint.pid === pid && hint.source === source)?.slot;
}

const troubles: readonly string[] = [
  'missing_key',
  'decrypt_failed',
  'unencrypted_frame',
  'codec_unsupported',
] satisfies (FrameCode & Trouble)[];

function isTrouble(state: ReceiverFrames['state']): state is Trouble {
  return troubles.includes(state);
}

/** What a member's tile shows. */
export function picture(state: CallState, pid: PID): Picture {
  const camera = publication(state, pid, 'camera');
  if (!camera || camera.muted) return { kind: 'off' };
  const slot = slotOf(state, pid, 'camera');
  if (slot !== undefined) return { kind: 'live', slot };
  const why = troubleOf(state, pid, 'camera');
  return why ? { kind: 'locked', why } : { kind: 'coming' };
}

/** Why this member's frames do not open, by the server's hint where no key names the sender. */
function troubleOf(state: CallState, pid: PID, source: Source): Trouble | undefined {
  const hinted = state.reports.get(hintFor(state, pid, source) ?? '')?.state;
  return hinted && isTrouble(hinted) ? hinted : undefined;
}

/** The key on a member's tile: whether what comes from them opens here. */
export function tileKey(state: CallState, pid: PID): 'open' | 'waiting' | 'broken' {
  if (pid === state.pid) return state.sending && state.media === 'up' ? 'open' : 'waiting';
  const sources: Source[] = ['mic', 'camera'];
  const states = sources.map((source) => troubleOf(state, pid, source));
  if (states.some((why) => why && why !== 'missing_key')) return 'broken';
  if (states.includes('missing_key')) return 'waiting';
  return sources.some((source) => slotOf(state, pid, source)) ? 'open' : 'waiting';
}

/** Whether a member is heard; by the server's word until state messages carry it. */
export function micOn(state: CallState, pid: PID): boolean {
  const mic = publication(state, pid, 'mic');
  return mic !== undefined && !mic.muted;
}

export function isAway(state: CallState, pid: PID): boolean {
  const participant = state.present.get(pid);
  return pid !== state.pid && (!participant || participant.away === true);
}

function publication(state: CallState, pid: PID, source: Source) {
  return state.present.get(pid)?.publications.find((p) => p.source === source);
}

/** The key in the call's corner. */
export interface KeyMark {
  mark: 'whole' | 'turning' | 'broken';
  why: KeyReason;
}

export type KeyReason =
  | 'all-well'
  | 'waiting'
  | 'rejoining'
  | 'joining'
  | 'leaving'
  | 'changing'
  | 'keys-late'
  | 'log-fork'
  | 'decrypt-failed'
  | 'unencrypted'
  | 'ended';

/** One mark for the whole call; the first reason that holds. */
export function keyMark(state: CallState): KeyMark {
  return broken(state) ?? turning(state) ?? { mark: 'whole', why: 'all-well' };
}

function broken(state: CallState): KeyMark | undefined {
  const states = liveStates(state);
  const why: KeyReason | undefined =
    state.session.code === 'log_fork'
      ? 'log-fork'
      : state.session.state === 'ended'
        ? 'ended'
        : states.has('unencrypted_frame')
          ? 'unencrypted'
          : states.has('decrypt_failed')
            ? 'decrypt-failed'
            : undefined;
  return why && { mark: 'broken', why };
}

function turning(state: CallState): KeyMark | undefined {
  const why = turningReason(state);
  return why && { mark: 'turning', why };
}

function turningReason(state: CallState): KeyReason | undefined {
  if (state.session.state === 'rejoining' || state.known.length > 0) return 'rejoining';
  if (state.session.state !== 'member' || !state.epoch) return 'waiting';
  if (joining(state).length > 0) return 'joining';
  if (others(state).some(({ pid }) => !state.present.has(pid))) return 'leaving';
  if (!sendsInEpoch(state)) return 'changing';
  return liveStates(state).has('missing_key') ? 'keys-late' : undefined;
}

function sendsInEpoch({ epoch, sending }: CallState): boolean {
  return epoch !== undefined && sending !== undefined && sameEpoch(epoch.epoch, sending);
}

/** The states of slots that carry something now. What an idle slot once said is past. */
function liveStates(state: CallState): Set<ReceiverFrames['state']> {
  const inUse = new Set(state.hints.map((hint) => hint.slot));
  return new Set([...state.reports.values()].filter((r) => inUse.has(r.mid)).map((r) => r.state));
}
