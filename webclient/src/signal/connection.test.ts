import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Connection, roomSocketURL, type Socket } from './connection';
import type { ClientMessage, Entry, ServerMessage } from './generated';

/** A socket whose other end is the test. */
class FakeSocket implements Socket {
  onopen: Socket['onopen'] = null;
  onmessage: Socket['onmessage'] = null;
  onclose: Socket['onclose'] = null;
  readonly sent: ClientMessage[] = [];
  closed: number | 'without code' | undefined;

  send(data: string): void {
    this.sent.push(JSON.parse(data) as ClientMessage);
  }

  close(code?: number): void {
    this.closed = code ?? 'without code';
  }

  accept(): void {
    this.onopen?.(new Event('open'));
  }

  say(message: ServerMessage): void {
    this.onmessage?.(new MessageEvent('message', { data: JSON.stringify(message) }));
  }

  break(): void {
    this.onclose?.({} as CloseEvent);
  }
}

function ready(
  over: Partial<Extract<ServerMessage, { type: 'ready' }>['body']> = {},
): ServerMessage {
  const body = {
    token: 't1',
    logId: 'bG9n',
    head: 0,
    headHash: 'aGFzaA==',
    now: 1,
    resumed: false,
    here: [],
    maxMessage: 1000,
    ...over,
  };
  return { type: 'ready', body };
}

function entry(position: number): Entry {
  return { position, time: position, kind: 'left', pid: 'p' };
}

/** A connection with its sockets and a transcript of its events. */
function start() {
  const sockets: FakeSocket[] = [];
  const transcript: string[] = [];
  const connection = new Connection({
    url: 'ws://host/',
    pid: 'me',
    random: () => 0,
    openSocket: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
  });
  connection.on('ready', ({ resumed }) => transcript.push(resumed ? 'resumed' : 'ready'));
  connection.on('entries', (e) => transcript.push(`entries ${e.map((x) => x.position).join(' ')}`));
  connection.on('gone', ({ pid }) => transcript.push(`gone ${pid}`));
  connection.on('lost', () => transcript.push('lost'));
  connection.on('closed', ({ remedy, code }) => transcript.push(`closed ${remedy} ${code}`));
  connection.open();
  const socket = (i: number): FakeSocket => sockets[i]!;
  return { connection, sockets, socket, transcript };
}

function welcomed() {
  const all = start();
  all.socket(0).accept();
  all.socket(0).say(ready());
  return all;
}

beforeEach(() => vi.useFakeTimers());
afterEach(() => vi.useRealTimers());

describe('Connection', () => {
  it('says hello first and hands on the log in order', () => {
    const { socket, transcript } = welcomed();
    socket(0).say({ type: 'log', body: { entries: [entry(1), entry(2)] } });
    socket(0).say({ type: 'gone', body: { pid: 'bob' } });
    socket(0).say({ type: 'log', body: { entries: [entry(3)] } });
    expect(socket(0).sent).toEqual([{ type: 'hello', body: { pid: 'me', lists: true } }]);
    expect(transcript).toEqual(['ready', 'entries 1 2', 'gone bob', 'entries 3']);
  });

  it('answers each request by its id, whatever the order', async () => {
    const { connection, socket } = welcomed();
    const join = connection.request({ type: 'join', body: { keyPackage: '', mac: '' } });
    const create = connection.request({
      type: 'create',
      body: { last: 0, generation: 1, groupId: '', mac: '' },
    });
    expect(
      socket(0)
        .sent.slice(1)
        .map((m) => m.id),
    ).toEqual([1, 2]);
    socket(0).say({ type: 'error', re: 2, body: { code: 'stale', message: 'late' } });
    socket(0).say({ type: 'appended', re: 1, body: { position: 5 } });
    await expect(join).resolves.toEqual({ position: 5 });
    await expect(create).rejects.toMatchObject({ code: 'stale' });
  });

  it('takes up a lost socket after the last entry that it has', () => {
    const { socket, transcript } = welcomed();
    socket(0).say({ type: 'log', body: { entries: [entry(1), entry(2)] } });
    socket(0).break();
    vi.advanceTimersToNextTimer();
    socket(1).accept();
    expect(socket(1).sent).toEqual([
      {
        type: 'hello',
        body: { pid: 'me', resume: { token: 't1', logId: 'bG9n', after: 2 }, lists: true },
      },
    ]);
    socket(1).say(ready({ token: 't2', resumed: true }));
    socket(1).say({ type: 'log', body: { entries: [entry(2), entry(3)] } });
    expect(transcript).toEqual(['ready', 'entries 1 2', 'lost', 'resumed', 'entries 3']);
  });

  it('starts again at 1 on a new log', () => {
    const { socket, transcript } = welcomed();
    socket(0).say({ type: 'log', body: { entries: [entry(1)] } });
    socket(0).break();
    vi.advanceTimersToNextTimer();
    socket(1).accept();
    socket(1).say(ready({ logId: 'bmV3' }));
    socket(1).say({ type: 'log', body: { entries: [entry(1)] } });
    expect(transcript).toEqual(['ready', 'entries 1', 'lost', 'ready', 'entries 1']);
  });

  it('asks again for a log with a gap and hands on nothing past it', () => {
    const { socket, transcript } = welcomed();
    socket(0).say({ type: 'log', body: { entries: [entry(1), entry(3)] } });
    expect(transcript).toEqual(['ready', 'entries 1', 'lost']);
    vi.advanceTimersToNextTimer();
    socket(1).accept();
    expect(socket(1).sent[0]).toMatchObject({ body: { resume: { after: 1 } } });
  });

  it('rejects what was not answered when the socket is lost', async () => {
    const { connection, socket } = welcomed();
    const join = connection.request({ type: 'join', body: { keyPackage: '', mac: '' } });
    socket(0).break();
    await expect(join).rejects.toMatchObject({ code: 'connection_lost' });
    expect(connection.tell({ type: 'mute', body: { source: 'mic', muted: true } })).toBe(false);
  });

  it('gives up a socket that does not answer', async () => {
    const { connection, socket, transcript } = welcomed();
    const join = connection.request({ type: 'join', body: { keyPackage: '', mac: '' } });
    vi.advanceTimersToNextTimer();
    await expect(join).rejects.toMatchObject({ code: 'connection_lost' });
    expect(socket(0).closed).toBe('without code');
    expect(transcript).toEqual(['ready', 'lost']);
  });

  it('doubles its pauses up to 5 s', () => {
    const { sockets } = start();
    const pauses: number[] = [];
    for (let i = 0; i < 7; i++) {
      const before = Date.now();
      sockets.at(-1)?.break();
      vi.advanceTimersToNextTimer();
      pauses.push(Date.now() - before);
    }
    expect(pauses).toEqual([125, 250, 500, 1000, 2000, 2500, 2500]);
  });

  it('tries at once when told that the network is back', () => {
    const { connection, sockets } = start();
    sockets[0]?.break();
    connection.retryNow();
    connection.retryNow();
    expect(sockets).toHaveLength(2);
  });

  it.each([
    ['resume_refused', 'closed renew resume_refused'],
    ['log_full', 'closed renew log_full'],
    ['room_full', 'closed end room_full'],
    ['server_full', 'closed end server_full'],
    ['replaced', 'closed end replaced'],
    ['slow', 'lost'],
    ['shutdown', 'lost'],
  ] as const)('after %s: %s', (code, outcome) => {
    const { socket, transcript } = welcomed();
    socket(0).say({ type: 'error', body: { code, message: '' } });
    socket(0).break();
    expect(transcript).toEqual(['ready', outcome]);
  });

  it('leaves with 1000 and comes back no more', () => {
    const { connection, socket, sockets, transcript } = welcomed();
    connection.leave();
    connection.leave();
    socket(0).break();
    expect(vi.getTimerCount()).toBe(0);
    expect(socket(0).sent.at(-1)).toEqual({ type: 'leave', body: {} });
    expect(socket(0).closed).toBe(1000);
    expect(sockets).toHaveLength(1);
    expect(transcript).toEqual(['ready', 'closed end left']);
  });

  it('takes a fresh socket when the network was gone, since the old one may be dead', () => {
    const { connection, socket, sockets, transcript } = welcomed();
    connection.reconnect();
    expect(socket(0).closed).toBe('without code');
    expect(sockets).toHaveLength(2);
    connection.reconnect(); // it is under way
    expect(sockets).toHaveLength(2);
    socket(1).accept();
    expect(socket(1).sent[0]).toMatchObject({ body: { resume: { token: 't1' } } });
    expect(transcript).toEqual(['ready', 'lost']);
    connection.leave();
    connection.reconnect();
    expect(sockets).toHaveLength(2);
  });

  it('is over for good, also when told that the network is back', () => {
    const { connection, socket, sockets } = welcomed();
    socket(0).break();
    connection.leave();
    connection.retryNow();
    vi.runAllTimers();
    expect(sockets).toHaveLength(1);
  });

  it('ignores frames that are no messages', () => {
    const { socket, transcript } = welcomed();
    socket(0).onmessage?.(new MessageEvent('message', { data: 'garbage' }));
    socket(0).onmessage?.(new MessageEvent('message', { data: new ArrayBuffer(3) }));
    expect(transcript).toEqual(['ready']);
  });
});

describe('roomSocketURL', () => {
  it('follows the origin', () => {
    expect(roomSocketURL('http://localhost:8080', 'a_b')).toBe(
      'ws://localhost:8080/api/v1/rooms/a_b/ws',
    );
    expect(roomSocketURL('https://meet.example', 'x')).toBe('wss://meet.example/api/v1/rooms/x/ws');
  });
});
