import { describe, expect, it, vi } from 'vitest';
import { Connection, type Socket } from '../signal/connection';
import type { ClientMessage, ServerMessage } from '../signal/generated';
import { Participation } from './participation';
import type { CallEvent } from './state';
import {
  FakeEncryption,
  FakePeerConnection,
  settle,
  type Transcript,
  useFakeBrowser,
} from './testing';

class FakeSocket implements Socket {
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;

  constructor(readonly transcript: Transcript) {}

  send(data: string): void {
    const { type, id } = JSON.parse(data) as ClientMessage;
    this.transcript.push(id === undefined ? `> ${type}` : `> ${type} #${id}`);
  }

  close(code?: number): void {
    this.transcript.push(`socket closed ${code ?? ''}`.trimEnd());
  }

  say(message: ServerMessage): void {
    this.onmessage?.(new MessageEvent('message', { data: JSON.stringify(message) }));
  }

  break(): void {
    this.onclose?.({} as CloseEvent);
  }
}

const ready = (resumed = false, head = 0): ServerMessage => ({
  type: 'ready',
  body: {
    token: 't',
    logId: 'bG9n',
    head,
    headHash: '',
    now: 1,
    resumed,
    here: [],
    maxMessage: 1000,
    iceServers: resumed ? [relay('later')] : [relay('first')],
  },
});

const relay = (username: string) => ({ urls: ['turns:meet.example'], username, credential: 'c' });

function start() {
  const transcript: Transcript = [];
  const sockets: FakeSocket[] = [];
  const peers: FakePeerConnection[] = [];
  const events: CallEvent[] = [];
  const over: string[] = [];
  const encryption = new FakeEncryption(transcript);
  const participation = new Participation({
    codec: 'vp8',
    pid: 'me',
    name: 'Maya',
    room: 'tea',
    href: 'https://meet.example/r/tea#secret',
    encryption,
    openConnection: (url, pid) => {
      transcript.push(`open ${url}`);
      return new Connection({
        url,
        pid,
        random: () => 0,
        openSocket: () => {
          const socket = new FakeSocket(transcript);
          sockets.push(socket);
          return socket;
        },
      });
    },
    createPeer: (iceServers) => {
      const peer = new FakePeerConnection([]);
      peer.setConfiguration({ iceServers });
      peers.push(peer);
      return peer as unknown as RTCPeerConnection;
    },
    dispatch: (event) => events.push(event),
    onSlot: () => undefined,
    onOver: (how) => over.push(how),
  });
  const connect = async (resumed = false, head = 0): Promise<FakeSocket> => {
    const socket = sockets.at(-1)!;
    socket.onopen?.(new Event('open'));
    socket.say(ready(resumed, head));
    await settle();
    return socket;
  };
  /** What happened since the last call. */
  const news = (): string[] => transcript.splice(0);
  return { participation, encryption, sockets, peers, events, over, connect, news, transcript };
}

const join = { seq: 1, type: 'join', body: { keyPackage: '', mac: '' } };

useFakeBrowser();

describe('Participation', () => {
  it('reaches the server by its relays, and has fresh credentials after a resume', async () => {
    const { participation, connect, peers } = start();
    await participation.begin();
    const socket = await connect();
    expect(peers[0]?.transcript[0]).toBe('relay as first');
    socket.break();
    vi.advanceTimersByTime(200);
    await connect(true);
    expect(peers[0]?.transcript.at(-1)).toBe('relay as later');
  });

  it('restarts ICE on the same PeerConnection when the network is another one', async () => {
    const { participation, connect, news, peers, events } = start();
    participation.setView([], { video: 1, audio: 1 });
    await participation.begin();
    const socket = await connect();
    socket.say({ type: 'answer', re: 1, body: { connection: 1, sdp: 'answer' } });
    await settle();
    peers[0]?.become('connected');
    news();
    participation.reconnect();
    participation.reconnect(); // browsers say it in more ways than one
    await settle();
    expect(news()).toEqual(['socket closed']);
    const next = await connect(true);
    expect(news()).toEqual(['> hello', 'log bG9n to 0', '> offer #2']);
    next.say({ type: 'answer', re: 2, body: { connection: 1, sdp: 'answer' } });
    await settle();
    expect(peers).toHaveLength(1);
    expect(peers[0]?.localDescription?.sdp).toBe('offer of 4, restarting');
    expect(peers[0]?.transcript).not.toContain('close');
    expect(events.filter(({ type }) => type === 'media')).toEqual([
      { type: 'media', media: 'connecting' },
      { type: 'media', media: 'up' },
    ]);
  });

  it('configures the worker, connects, opens the log, then offers media', async () => {
    const { participation, connect, news } = start();
    participation.setView([], { video: 1, audio: 1 });
    await participation.begin();
    await connect(false, 7);
    expect(news()).toEqual([
      'open wss://meet.example/api/v1/rooms/tea/ws',
      'configure me Maya',
      '> hello',
      'log bG9n to 7',
      'attach mic',
      'attach camera',
      'attach video-1-0',
      'attach audio-1-0',
      '> offer #1',
    ]);
  });

  it('carries posts to the room and its answers back', async () => {
    const { participation, encryption, connect, news } = start();
    await participation.begin();
    const socket = await connect();
    news();
    encryption.emit('post', join);
    encryption.emit('post', { ...join, seq: 2 });
    socket.say({ type: 'appended', re: 1, body: { position: 1 } });
    socket.say({ type: 'error', re: 2, body: { code: 'stale', message: '' } });
    await settle();
    expect(news()).toEqual(['> join #1', '> join #2', 'posted 1 appended', 'posted 2 stale']);
  });

  it('holds posts while the connection is lost, and tells which answers were lost', async () => {
    const { participation, encryption, sockets, connect, news } = start();
    await participation.begin();
    const socket = await connect();
    encryption.emit('post', join);
    socket.break();
    await settle();
    encryption.emit('post', { ...join, seq: 2 });
    news();
    vi.advanceTimersByTime(200);
    expect(sockets).toHaveLength(2);
    await connect(true);
    expect(news()).toEqual(['> hello', 'log bG9n to 0', 'posted 1 connection_lost', '> join #2']);
  });

  it('keeps its media while the connection is lost', async () => {
    const { participation, sockets, peers, connect } = start();
    await participation.begin();
    const socket = await connect();
    peers[0]?.become('connected');
    socket.break();
    vi.advanceTimersByTime(200);
    await connect(true);
    expect(sockets).toHaveLength(2);
    expect(peers).toHaveLength(1);
  });

  it('offers again what was under way or came while the connection was lost', async () => {
    const { participation, peers, connect, news } = start();
    participation.setView([], { video: 1, audio: 1 });
    await participation.begin();
    let socket = await connect();
    socket.break(); // before the answer
    participation.setView([], { video: 2, audio: 1 });
    await settle();
    vi.advanceTimersByTime(200);
    news();
    socket = await connect(true);
    expect(news().filter((line) => line.startsWith('> offer'))).toEqual(['> offer #2']);
    socket.say({ type: 'answer', re: 2, body: { connection: 1, sdp: 'a' } });
    await settle();
    expect(news()).toEqual(['> offer #3']);
    expect(peers).toHaveLength(1);
    expect(peers[0]?.transcript).not.toContain('close');
  });

  it('offers again, later, what came too soon for the room', async () => {
    const { participation, peers, connect, news } = start();
    participation.setView([], { video: 1, audio: 1 });
    await participation.begin();
    const socket = await connect();
    news();
    socket.say({
      type: 'error',
      re: 1,
      body: { code: 'rate_limited', message: 'too many offers' },
    });
    await settle();
    expect(news()).toEqual([]);
    vi.advanceTimersByTime(2_000);
    await settle();
    expect(news()).toEqual(['> offer #2']);
    expect(peers).toHaveLength(1);
    expect(peers[0]?.transcript).not.toContain('close');
  });

  it('offers nothing again for a PeerConnection that was given up meanwhile', async () => {
    const { participation, peers, connect, news } = start();
    participation.setView([], { video: 1, audio: 1 });
    await participation.begin();
    const socket = await connect();
    socket.break();
    await settle();
    peers[0]?.become('failed');
    vi.advanceTimersByTime(600);
    news();
    await connect(true);
    expect(news().filter((line) => line.startsWith('> offer'))).toEqual(['> offer #2']);
    expect(peers).toHaveLength(2);
  });

  it('tries again when a PeerConnection cannot be made with transforms', async () => {
    const { participation, encryption, peers, connect, news } = start();
    await participation.begin();
    const refuse = vi.spyOn(encryption, 'attachSender').mockImplementation(() => {
      throw new Error('no transform');
    });
    await connect();
    expect(peers[0]?.transcript.at(-1)).toBe('close');
    refuse.mockRestore();
    news();
    vi.advanceTimersByTime(500);
    expect(peers).toHaveLength(2);
    expect(news()).toContain('attach mic');
  });

  it('takes reports of the present PeerConnection only', async () => {
    const { participation, encryption, peers, events, connect } = start();
    participation.setView([], { video: 1, audio: 1 });
    await participation.begin();
    await connect();
    peers[0]?.become('failed');
    vi.advanceTimersByTime(500);
    const report = { direction: 'receive', kind: 'video', state: 'ok', frames: 1, failed: {} };
    encryption.emit('frames', { ...report, mid: 'video-1-0' });
    encryption.emit('frames', { ...report, mid: 'video-2-0' });
    const mids = events.flatMap((e) => (e.type === 'report' ? [e.report.mid] : []));
    expect(mids).toEqual(['video-2-0']);
  });

  it('is over when the browser sends past the encryption', async () => {
    const { participation, encryption, peers, over, connect } = start();
    participation.setTrack('mic', { id: 'voice' } as MediaStreamTrack);
    await participation.begin();
    await connect();
    encryption.haveKeys();
    encryption.acknowledgeTransforms();
    await settle();
    peers[0]!.stats = { bytesSent: 50 };
    await vi.advanceTimersByTimeAsync(500);
    expect(over).toEqual(['sent_in_clear']);
  });

  it('makes a new PeerConnection when one fails, with growing pauses', async () => {
    const { participation, peers, events, connect } = start();
    await participation.begin();
    await connect();
    peers[0]?.become('failed');
    vi.advanceTimersByTime(499);
    expect(peers).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(peers).toHaveLength(2);
    peers[1]?.become('failed');
    vi.advanceTimersByTime(999);
    expect(peers).toHaveLength(2);
    vi.advanceTimersByTime(1);
    peers[2]?.become('connected');
    expect(events.flatMap((e) => (e.type === 'media' ? [e.media] : []))).toEqual([
      'connecting',
      'down',
      'connecting',
      'down',
      'connecting',
      'up',
    ]);
  });

  it('makes a new one when the server has given up the present one only', async () => {
    const { participation, peers, connect } = start();
    await participation.begin();
    const socket = await connect();
    socket.say({ type: 'media-down', body: { connection: 9, code: 'media_failed' } });
    vi.advanceTimersByTime(500);
    expect(peers).toHaveLength(1);
    socket.say({ type: 'media-down', body: { connection: 1, code: 'media_failed' } });
    vi.advanceTimersByTime(500);
    expect(peers).toHaveLength(2);
  });

  it('says what it wants to see once for each view, and again after a loss', async () => {
    const { participation, connect, news } = start();
    await participation.begin();
    const socket = await connect();
    news();
    const want = { pid: 'tom', source: 'camera', width: 16, height: 16 } as const;
    const size = { video: 0, audio: 0 };
    participation.setView([want], size);
    participation.setView([{ ...want }], size);
    expect(news()).toEqual(['> view']);
    socket.break();
    vi.advanceTimersByTime(200);
    news();
    await connect(true);
    expect(news()).toContain('> view');
  });

  it.each([
    ['resume_refused', 'renew'],
    ['replaced', 'replaced'],
    ['room_full', 'room_full'],
    ['server_full', 'server_full'],
    ['too_large', 'refused'],
  ] as const)('after %s it is over: %s', async (code, how) => {
    const { participation, peers, over, connect, transcript } = start();
    await participation.begin();
    const socket = await connect();
    socket.say({ type: 'error', body: { code, message: '' } });
    socket.break();
    vi.runAllTimers();
    expect(over).toEqual([how]);
    expect(transcript.at(-1)).toBe('stop');
    expect(peers).toHaveLength(1);
  });

  it('begins anew when the log says that it left, and ends when its session cannot go on', async () => {
    for (const [code, how] of [
      ['left', 'renew'],
      ['removed', 'renew'],
      ['bad_identity', 'session_ended'],
    ] as const) {
      const { participation, encryption, over, connect } = start();
      await participation.begin();
      await connect();
      encryption.emit('status', { state: 'ended', code });
      expect(over).toEqual([how]);
    }
  });

  it('sends nothing when the worker refuses or dies', async () => {
    const refused = start();
    refused.encryption.configureError = new Error('bad_link');
    await refused.participation.begin();
    expect(refused.over).toEqual(['worker_failed']);
    expect(refused.sockets).toHaveLength(0);

    const died = start();
    await died.participation.begin();
    await died.connect();
    died.encryption.emit('fatal', { code: 'worker_failed', message: '' });
    expect(died.over).toEqual(['worker_failed']);
  });

  it('leaves once', async () => {
    const { participation, over, connect, news } = start();
    await participation.begin();
    await connect();
    news();
    participation.leave();
    participation.leave();
    expect(news()).toEqual(['> leave', 'socket closed 1000', 'stop']);
    expect(over).toEqual(['left']);
    expect(vi.getTimerCount()).toBe(0);
  });
});
