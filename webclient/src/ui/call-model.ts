import { createMemo, createSignal, onCleanup, type Accessor } from 'solid-js';
import type { Call } from '../call/call';
import type { Slot } from '../call/peer';
import { isStalled, keyMark, type KeyMark, members, others, phase } from '../call/select';
import type { CallState, Notice } from '../call/state';
import { namesakes } from './name';
import { comingIn, waitingFor } from './words';

export interface CallModel {
  state: Accessor<CallState>;
  slots: Accessor<ReadonlyMap<string, Slot>>;
}

const drawEvery = 40; // ms; reports of all slots come in one burst, twice a second

/** A call's state as signals that end with their scope. */
export function createCallModel(call: Call): CallModel {
  const [state, setState] = createSignal(call.state);
  const [slots, setSlots] = createSignal(call.slots);
  let soon: ReturnType<typeof setTimeout> | undefined;
  const draw = (): void => {
    soon = undefined;
    setState(call.state);
  };
  onCleanup(call.on('state', () => (soon ??= setTimeout(draw, drawEvery))));
  onCleanup(call.on('slots', setSlots));
  onCleanup(() => clearTimeout(soon));
  return { state, slots };
}

/** Whose tiles there are: we first, then the others by leaf. Before we are let in, only ours. */
export function createRoster(state: Accessor<CallState>): Accessor<string[]> {
  return createMemo(() => [state().pid, ...others(state()).map(({ pid }) => pid)], [], {
    equals: (a, b) => a.length === b.length && a.every((pid, i) => pid === b[i]),
  });
}

/** The key in the corner; it changes far less often than the state. */
export function createMark(state: Accessor<CallState>): Accessor<KeyMark> {
  return createMemo(() => keyMark(state()), undefined, {
    equals: (a, b) => a.mark === b.mark && a.why === b.why,
  });
}

/** Which one of several each member is whose names look the same. It changes with the roster alone. */
export function createNumbers(state: Accessor<CallState>): Accessor<ReadonlyMap<string, number>> {
  const roster = createMemo(() => members(state()));
  return createMemo(() => namesakes(roster()));
}

const toastTime = 5_000; // ms

/** The notices of the last seconds. */
export function createToasts(state: Accessor<CallState>): Accessor<Notice[]> {
  const [now, setNow] = createSignal(0);
  const seen = new Map<number, number>();
  const timer = setInterval(() => setNow(Date.now()), 1_000);
  onCleanup(() => clearInterval(timer));
  return createMemo(() => {
    const time = Math.max(now(), Date.now());
    const ids = new Set(state().notices.map(({ id }) => id));
    for (const id of ids) if (!seen.has(id)) seen.set(id, time);
    for (const id of seen.keys()) if (!ids.has(id)) seen.delete(id);
    return state().notices.filter(({ id }) => time - (seen.get(id) ?? 0) < toastTime);
  });
}

/** One line for the top of the call. */
export function statusLine(state: CallState, joiningCount: number): string {
  if (isStalled(state)) return 'The encryption does not answer. Nothing is sent until it does';
  switch (phase(state)) {
    case 'connecting':
      return state.answers ? 'Connecting' : 'The encryption is still loading';
    case 'waiting':
      return waitingFor(state.present.size, undefined);
    case 'reconnecting':
      return reconnecting(state);
    case 'in':
      if (joiningCount > 0) return comingIn(joiningCount);
      return members(state).length === 1
        ? 'Nobody else is here yet. Copy the link and send it.'
        : '';
    case 'ended':
      return '';
  }
}

function reconnecting(state: CallState): string {
  if (state.connection === 'lost') return 'The connection is lost. Reconnecting';
  if (state.session.state !== 'member' && state.present.size > 0)
    return waitingFor(state.present.size, others(state)[0]?.name);
  return state.media === 'down' ? 'Pictures and sound are coming back' : 'Coming back in';
}
