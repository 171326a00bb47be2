import type { PID, Source } from '../signal/generated';
import { sameEpoch, sources } from '../e2ee/types';
import type { FrameCode, Member, ReceiverFrames } from './ports';
import type { CallState, SlotFrames } from './state';

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

const current = 2_000; // ms for which a count that rose says what is so now; reports come twice a second

/** Whether something that happened then still says what is so. */
function isCurrent(state: CallState, at: number): boolean {
  return state.time - at < current;
}

const comingFor = 30_000; // ms; who is not let in by then is shut out, or made up by the server

/** Who has come and is not yet a member, by the server's word. They have no name. */
export function joining(state: CallState): PID[] {
  const inside = new Set(members(state).map((member) => member.pid));
  return [...state.present.values()]
    .filter(({ pid, since }) => !inside.has(pid) && state.time - since < comingFor)
    .map(({ pid }) => pid);
}

/** The slot whose frames open under this member's key; the one in use, if several once showed it. */
export function slotOf(state: CallState, pid: PID, source: Source): string | undefined {
  const shown = [...state.reports.values()].filter((r) => r.pid === pid && r.source === source);
  const open = shown.filter((r) => !isTrouble(r.state));
  const hinted = hintFor(state, pid, source);
  const inUse = open.filter((r) => isCurrent(state, r.openedAt));
  return (open.find((r) => r.mid === hinted) ?? mostFrames(inUse) ?? mostFrames(open))?.mid;
}

function mostFrames(reports: readonly SlotFrames[]): SlotFrames | undefined {
  return reports.reduce<SlotFrames | undefined>(
    (best, report) => (best && best.frames >= report.frames ? best : report),
    undefined,
  );
}

/** The slots that open frames of this member's source now. */
function opening(state: CallState, pid: PID, source: Source): SlotFrames[] {
  return [...state.reports.values()].filter(
    (r) => r.pid === pid && r.source === source && isCurrent(state, r.openedAt),
  );
}

/** Whether anything comes from this member now, whatever the server says of them. */
function isHeardOf(state: CallState, pid: PID): boolean {
  return sources.some((source) => opening(state, pid, source).length > 0);
}

const underWay = 1_500; // ms that frames may take to us, and reports of them to the page

/**
 * Whether a source is on. The server's word counts for turning it on; that it is off counts only as
 * long as no frames of it open.
 */
function isOn(state: CallState, pid: PID, source: Source): boolean {
  const said = publication(state, pid, source);
  if (said && !said.muted) return true;
  const since = state.present.get(pid)?.mutedAt[source] ?? -Infinity;
  return opening(state, pid, source).some((r) => r.openedAt - since > underWay);
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
  if (!isOn(state, pid, 'camera')) return { kind: 'off' };
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
  if (pid === state.pid) return isSending(state) ? 'open' : 'waiting';
  const sources: Source[] = ['mic', 'camera'];
  const states = sources.map((source) => troubleOf(state, pid, source));
  if (states.some((why) => why && why !== 'missing_key')) return 'broken';
  if (states.includes('missing_key')) return 'waiting';
  return sources.some((source) => slotOf(state, pid, source)) ? 'open' : 'waiting';
}

/** Whether our frames leave this device sealed, by the word of the worker that seals them. */
function isSending(state: CallState): boolean {
  if (!state.sending || state.media !== 'up') return false;
  return [...state.sent.values()].some(({ at }) => isCurrent(state, at));
}

/** Whether a member is heard. */
export function micOn(state: CallState, pid: PID): boolean {
  return isOn(state, pid, 'mic');
}

/** Whether the server has lost a member's connection and keeps their place. */
export function isAway(state: CallState, pid: PID): boolean {
  return pid !== state.pid && state.present.get(pid)?.away === true;
}

/** Whether a member is gone by the server's word, and the group has not yet put them out. */
export function isLeaving(state: CallState, pid: PID): boolean {
  if (pid === state.pid || !state.epoch || state.connection !== 'up') return false;
  return !state.present.has(pid) && !isHeardOf(state, pid);
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
  | 'stalled'
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
            : isStalled(state)
              ? 'stalled'
              : undefined;
  return why && { mark: 'broken', why };
}

/** Whether the worker that encrypts does not answer. Before a participation it is still loading. */
export function isStalled({ answers, pid }: CallState): boolean {
  return !answers && pid !== '';
}

function turning(state: CallState): KeyMark | undefined {
  const why = turningReason(state);
  return why && { mark: 'turning', why };
}

function turningReason(state: CallState): KeyReason | undefined {
  if (state.session.state === 'rejoining' || state.known.length > 0) return 'rejoining';
  if (state.session.state !== 'member' || !state.epoch) return 'waiting';
  if (joining(state).length > 0) return 'joining';
  if (others(state).some(({ pid }) => isLeaving(state, pid))) return 'leaving';
  if (!sendsInEpoch(state)) return 'changing';
  return liveStates(state).has('missing_key') ? 'keys-late' : undefined;
}

function sendsInEpoch({ epoch, sending }: CallState): boolean {
  return epoch !== undefined && sending !== undefined && sameEpoch(epoch.epoch, sending);
}

/** The states of slots that carry something now, by their counts. What an idle slot once said is past. */
function liveStates(state: CallState): Set<ReceiverFrames['state']> {
  const live = [...state.reports.values()].filter((r) => isCurrent(state, r.changedAt));
  return new Set(live.map((r) => r.state));
}
