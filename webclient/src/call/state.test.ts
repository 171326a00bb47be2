import { describe, expect, it } from 'vitest';
import type { Participant, Source } from '../signal/generated';
import type { EpochStarted, ReceiverFrames } from './ports';
import {
  isAway,
  isLeaving,
  joining,
  keyMark,
  members,
  micOn,
  phase,
  picture,
  slotOf,
  tileKey,
} from './select';
import { initialState, reduce, type CallEvent, type CallState } from './state';

const names: Record<string, string> = { me: 'Maya', tom: 'Tomás', aiko: 'Aiko' };

function epoch(number: number, ...pids: string[]): CallEvent {
  const value: EpochStarted = {
    epoch: { generation: 1, number },
    own: pids.indexOf('me'),
    members: pids.map((pid, leaf) => ({ leaf, pid, name: names[pid] ?? pid, device: '' })),
    safetyNumber: `${number}`.repeat(5),
  };
  return { type: 'epoch', epoch: value };
}

const sending = (number: number): CallEvent => ({
  type: 'sending',
  epoch: { generation: 1, number },
});
const status = (state: 'waiting' | 'member' | 'rejoining' | 'ended', code?: string): CallEvent => ({
  type: 'status',
  status: code ? { state, code } : { state },
});

function here(pid: string, ...publications: Participant['publications']): CallEvent {
  return { type: 'participant', participant: { pid, publications } };
}

function report(
  mid: string,
  state: ReceiverFrames['state'],
  pid?: string,
  source: Source = 'camera',
  frames = 1,
  failed: ReceiverFrames['failed'] = {},
): CallEvent {
  const who = pid === undefined ? {} : { pid, source };
  const kind = source === 'mic' ? 'audio' : 'video';
  const value = { direction: 'receive', mid, kind, state, frames, failed, ...who } as const;
  return { type: 'report', report: value };
}

const camera = { source: 'camera', muted: false } as const;
const mic = { source: 'mic', muted: false } as const;
const run = (...events: CallEvent[]): CallState => after(initialState(), ...events);

/** All at one time. */
function after(state: CallState, ...events: CallEvent[]): CallState {
  return events.reduce((before, event) => reduce(before, event, before.time), state);
}

/** So many ms later. */
function later(state: CallState, ms: number, event: CallEvent = { type: 'tick' }): CallState {
  return reduce(state, event, state.time + ms);
}

const begun: CallEvent[] = [{ type: 'began', pid: 'me' }];
const connected: CallEvent[] = [...begun, { type: 'connected', here: [] }];
const alone: CallEvent[] = [
  ...connected,
  status('member'),
  epoch(0, 'me'),
  sending(0),
  { type: 'media', media: 'up' },
];
const pair: CallEvent[] = [...alone, here('tom', camera, mic), epoch(1, 'me', 'tom'), sending(1)];

/** One line for each event: what the page says after it. */
function transcript(...events: CallEvent[]): string[] {
  let state = initialState();
  return events.map((event) => {
    state = after(state, event);
    const { mark, why } = keyMark(state);
    return `${event.type}: ${phase(state)}, ${mark} (${why})`;
  });
}

describe('a call', () => {
  it('begins, is let in, and ends', () => {
    expect(
      transcript(
        ...begun,
        { type: 'connected', here: ['tom'] },
        here('tom'),
        status('waiting'),
        { type: 'media', media: 'up' },
        status('member'),
        epoch(1, 'tom', 'me'),
        sending(1),
        here('aiko'),
        epoch(2, 'tom', 'me', 'aiko'),
        sending(2),
        { type: 'gone', pid: 'aiko' },
        epoch(3, 'tom', 'me'),
        sending(3),
        { type: 'ended', reason: 'left' },
      ),
    ).toEqual([
      'began: connecting, turning (waiting)',
      'connected: connecting, turning (waiting)',
      'participant: connecting, turning (waiting)',
      'status: waiting, turning (waiting)',
      'media: waiting, turning (waiting)',
      'status: in, turning (waiting)',
      'epoch: in, turning (changing)',
      'sending: in, whole (all-well)',
      'participant: in, turning (joining)',
      'epoch: in, turning (changing)',
      'sending: in, whole (all-well)',
      'gone: in, turning (leaving)',
      'epoch: in, turning (changing)',
      'sending: in, whole (all-well)',
      'ended: ended, whole (all-well)',
    ]);
  });

  it('reconnects under the same pid', () => {
    expect(
      transcript(
        ...pair,
        { type: 'lost' },
        { type: 'connected', here: ['tom'] },
        { type: 'media', media: 'down' },
        { type: 'media', media: 'connecting' },
        { type: 'media', media: 'up' },
      ).slice(-5),
    ).toEqual([
      'lost: reconnecting, whole (all-well)',
      'connected: in, whole (all-well)',
      'media: reconnecting, whole (all-well)',
      'media: in, whole (all-well)',
      'media: in, whole (all-well)',
    ]);
  });

  it('comes back with a fresh pid, and knows the others by name meanwhile', () => {
    const events: CallEvent[] = [
      ...pair,
      { type: 'began', pid: 'me2' },
      { type: 'connected', here: ['tom'] },
      status('waiting'),
    ];
    const state = run(...events);
    expect(phase(state)).toBe('reconnecting');
    expect(members(state).map(({ name }) => name)).toEqual(['Tomás']);
    const back = after(state, epoch(2, 'tom', 'me2'));
    expect(members(back).map(({ pid }) => pid)).toEqual(['tom', 'me2']);
    expect(back.notices).toEqual(state.notices);
  });

  it('hears nothing more once it has ended', () => {
    const ended = run(...pair, { type: 'ended', reason: 'left' });
    expect(after(ended, epoch(2, 'me'))).toBe(ended);
  });

  it('forgets who is not here after a resume', () => {
    const state = run(...pair, here('aiko'), { type: 'connected', here: ['tom'] });
    expect([...state.present.keys()]).toEqual(['tom']);
  });
});

describe('notices', () => {
  it('tell who came and went, by the roster of MLS', () => {
    const state = run(...pair, here('x'), epoch(2, 'me', 'tom', 'aiko'), epoch(3, 'me', 'aiko'));
    expect(state.notices.map(({ id, kind, name }) => `${id} ${kind} ${name}`)).toEqual([
      '1 joined Tomás',
      '2 joined Aiko',
      '3 left Tomás',
    ]);
  });

  it('are bounded', () => {
    let state = run(...alone);
    for (let i = 1; i <= 50; i++) state = after(state, epoch(i, 'me', ...(i % 2 ? ['tom'] : [])));
    expect(state.notices).toHaveLength(20);
    expect(state.notices.at(-1)?.id).toBe(50);
  });
});

describe('the roster', () => {
  it('is of MLS: whom only the server knows is on the way in, without a name', () => {
    const state = run(...pair, here('ghost', camera));
    expect(members(state).map(({ pid }) => pid)).toEqual(['me', 'tom']);
    expect(joining(state)).toEqual(['ghost']);
  });

  it('does not hide a member whom the server does not show', () => {
    const state = run(...pair, { type: 'gone', pid: 'tom' });
    expect(members(state).map(({ pid }) => pid)).toEqual(['me', 'tom']);
    expect(isLeaving(state, 'tom')).toBe(true);
    expect(isAway(state, 'tom')).toBe(false);
    expect(keyMark(state).why).toBe('leaving');
  });

  it('tells who lost the connection from who goes, and says neither while we are lost ourselves', () => {
    const away: CallEvent = {
      type: 'participant',
      participant: { pid: 'tom', publications: [camera, mic], away: true },
    };
    const state = run(...pair, away);
    expect([isAway(state, 'tom'), isLeaving(state, 'tom')]).toEqual([true, false]);
    const lost = run(...pair, { type: 'gone', pid: 'tom' }, { type: 'lost' });
    expect([isAway(lost, 'tom'), isLeaving(lost, 'tom')]).toEqual([false, false]);
    const rejoining = run(...pair, { type: 'began', pid: 'me2' }, { type: 'connected', here: [] });
    expect(isLeaving(rejoining, 'tom')).toBe(false);
  });

  it('knows who is here before it is told what they send', () => {
    const state = run(...pair, { type: 'connected', here: ['tom', 'aiko', 'me'] });
    expect([...state.present.keys()]).toEqual(['tom', 'aiko']);
    expect(micOn(state, 'tom')).toBe(true);
  });

  it('says that the encryption does not answer, and no more once it does', () => {
    const silent = run(...pair, { type: 'encryption', answers: false });
    expect(keyMark(silent)).toEqual({ mark: 'broken', why: 'stalled' });
    expect(keyMark(after(silent, { type: 'encryption', answers: true })).mark).toBe('whole');
    const loading = run({ type: 'encryption', answers: false });
    expect(keyMark(loading)).toEqual({ mark: 'turning', why: 'waiting' });
    expect(keyMark(after(loading, ...pair)).mark).toBe('whole');
  });

  it('does not take the server’s word that somebody left whose frames open', () => {
    const state = run(...pair, report('audio-0', 'ok', 'tom', 'mic'), { type: 'gone', pid: 'tom' });
    expect(isLeaving(state, 'tom')).toBe(false);
    expect(keyMark(state).mark).toBe('whole');
    expect(isLeaving(later(state, 2_000), 'tom')).toBe(true);
  });

  it('says for half a minute that somebody comes in whom nobody lets in', () => {
    const state = run(...pair, here('ghost'));
    expect(keyMark(state).why).toBe('joining');
    const again = later(later(state, 29_999), 0, here('ghost', camera));
    expect(joining(again)).toEqual(['ghost']);
    const over = later(again, 1);
    expect(joining(over)).toEqual([]);
    expect(keyMark(over).mark).toBe('whole');
  });
});

describe('a slot', () => {
  const hint = (slot: string, pid: string): CallEvent => ({
    type: 'hints',
    hints: [{ slot, pid, source: 'camera' }],
  });

  it('shows whose key opened its frames, not whom the server says', () => {
    const state = run(...pair, hint('video-0', 'aiko'), report('video-0', 'ok', 'tom'));
    expect(slotOf(state, 'tom', 'camera')).toBe('video-0');
    expect(slotOf(state, 'aiko', 'camera')).toBeUndefined();
    expect(picture(state, 'tom')).toEqual({ kind: 'live', slot: 'video-0' });
  });

  it('is the one in use when a member was moved to another', () => {
    const moved = [report('video-0', 'ok', 'tom', 'camera', 500), report('video-1', 'ok', 'tom')];
    expect(slotOf(run(...pair, ...moved, hint('video-1', 'tom')), 'tom', 'camera')).toBe('video-1');
    expect(slotOf(run(...pair, ...moved), 'tom', 'camera')).toBe('video-0');
  });

  it('is the one whose frames open now, without a hint', () => {
    const before = run(...pair, report('video-0', 'ok', 'tom', 'camera', 500));
    const state = later(before, 2_000, report('video-1', 'ok', 'tom'));
    expect(slotOf(state, 'tom', 'camera')).toBe('video-1');
  });

  it('is in use if its counts rise, whatever the server says of it', () => {
    const bad = (count: number) =>
      report('video-0', 'unencrypted_frame', undefined, 'camera', 0, { unencrypted_frame: count });
    const state = run(...pair, bad(1));
    expect(keyMark(state)).toEqual({ mark: 'broken', why: 'unencrypted' });
    expect(keyMark(later(later(state, 1_500, bad(2)), 1_500, bad(2))).mark).toBe('broken');
    expect(keyMark(later(later(state, 1_500, bad(1)), 500)).mark).toBe('whole');
  });

  it('says why its frames do not open, by the hint', () => {
    const locked = (state: ReceiverFrames['state']): CallState =>
      run(
        ...pair,
        hint('video-0', 'tom'),
        report('video-0', state, undefined, 'camera', 0, { replayed: 1 }),
      );
    expect(picture(locked('missing_key'), 'tom')).toEqual({ kind: 'locked', why: 'missing_key' });
    expect(keyMark(locked('missing_key'))).toEqual({ mark: 'turning', why: 'keys-late' });
    expect(keyMark(locked('decrypt_failed'))).toEqual({ mark: 'broken', why: 'decrypt-failed' });
    expect(keyMark(locked('unencrypted_frame'))).toEqual({ mark: 'broken', why: 'unencrypted' });
    expect(picture(locked('idle'), 'tom')).toEqual({ kind: 'coming' });
    expect(tileKey(locked('decrypt_failed'), 'tom')).toBe('broken');
  });

  it('keeps its picture over a repeated frame', () => {
    const state = run(
      ...pair,
      report('video-0', 'ok', 'tom'),
      report('video-0', 'replayed', 'tom'),
    );
    expect(picture(state, 'tom')).toEqual({ kind: 'live', slot: 'video-0' });
  });

  it('is forgotten with its PeerConnection', () => {
    const state = run(...pair, report('video-0', 'ok', 'tom'), { type: 'media', media: 'down' });
    expect(picture(state, 'tom')).toEqual({ kind: 'coming' });
  });

  it('is dark while the camera is off', () => {
    const state = run(
      ...pair,
      report('video-0', 'ok', 'tom'),
      here('tom', { source: 'camera', muted: true }, { source: 'mic', muted: true }),
    );
    expect(picture(state, 'tom')).toEqual({ kind: 'off' });
    expect(micOn(state, 'tom')).toBe(false);
  });

  it('is not dark or silent by the server’s word alone while its frames open', () => {
    const dark = here('tom', { source: 'camera', muted: true }, { source: 'mic', muted: true });
    const opened = (n: number) => [
      report('video-0', 'ok', 'tom', 'camera', n),
      report('audio-0', 'ok', 'tom', 'mic', n),
    ];
    const says = (state: CallState) => [picture(state, 'tom').kind, micOn(state, 'tom')];
    let state = after(run(...pair, ...opened(1)), dark);
    expect(says(state)).toEqual(['off', false]); // what was under way still opens
    state = after(later(state, 1_000), ...opened(2));
    expect(says(state)).toEqual(['off', false]);
    state = after(later(state, 1_000), ...opened(3));
    expect(says(state)).toEqual(['live', true]);
    state = after(state, here('tom', camera, mic), dark);
    expect(says(state)).toEqual(['live', true]); // no time is gained by saying it anew
    expect(says(later(state, 2_000))).toEqual(['off', false]);
    const hidden = after(later(state, 500), { type: 'gone', pid: 'tom' }, here('tom'));
    expect(says(after(hidden, ...opened(4)))).toEqual(['live', true]);
  });
});

describe('the key', () => {
  it('is broken by a forked log and by an end of the session', () => {
    expect(keyMark(run(...pair, status('member', 'log_fork')))).toMatchObject({ mark: 'broken' });
    expect(keyMark(run(...pair, status('ended', 'removed')))).toMatchObject({ mark: 'broken' });
  });

  it('turns while we are put out and let in again', () => {
    expect(keyMark(run(...pair, status('rejoining')))).toEqual({
      mark: 'turning',
      why: 'rejoining',
    });
  });

  it('of our own tile is whole once we send', () => {
    expect(tileKey(run(...connected), 'me')).toBe('waiting');
    expect(tileKey(run(...alone), 'me')).toBe('waiting');
    const sent = (frames: number): CallEvent => ({
      type: 'sent',
      report: { direction: 'send', source: 'mic', kind: 'audio', state: 'ok', frames, failed: {} },
    });
    const state = run(...alone, sent(1));
    expect(tileKey(state, 'me')).toBe('open');
    expect(tileKey(later(later(state, 1_000, sent(1)), 1_000), 'me')).toBe('waiting');
    expect(tileKey(later(later(state, 1_000, sent(2)), 1_000), 'me')).toBe('open');
    expect(tileKey(after(state, { type: 'media', media: 'down' }), 'me')).toBe('waiting');
  });
});
