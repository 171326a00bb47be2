import { decodeServerMessage } from './decode';
import { Emitter } from './emitter';
import { remedyFor, SignalError } from './errors';
import {
  Subprotocol,
  type ClientMessage,
  type Code,
  type Demand,
  type Entry,
  type Gone,
  type MediaDown,
  type Message,
  type Participant,
  type PID,
  type Ready,
  type ServerMessage,
  type Slots,
} from './generated';

/** What a connection tells. Events come in the order in which the server sent their messages. */
interface ConnectionEvents {
  /** The server knows us. `again` says that this is not the first time on this log. */
  ready: Ready;
  /** The next entries of the log, in order, without a gap. */
  entries: Entry[];
  participant: Participant;
  gone: Gone;
  message: Message;
  slots: Slots;
  demand: Demand;
  mediaDown: MediaDown;
  /** The socket is gone; the connection takes itself up again. */
  lost: undefined;
  /** The connection is over. `renew`: a fresh pid may join anew. */
  closed: { remedy: 'renew' | 'end'; code: Code | 'left' };
}

/** The part of a WebSocket that a connection uses. */
export interface Socket {
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}

/** What a connection needs from outside; all but the address has a default. */
interface ConnectionOptions {
  url: string;
  pid: PID;
  openSocket?: (url: string, subprotocol: string) => Socket;
  /** In [0, 1): spreads the reconnections of many clients. */
  random?: () => number;
}

type Answered = Extract<ServerMessage, { type: 'appended' | 'answer' }>['body'];

interface Pending {
  resolve: (body: Answered) => void;
  reject: (error: SignalError) => void;
  timer: ReturnType<typeof setTimeout>;
}

const answerTimeout = 15_000; // ms; past it the connection counts as lost
const openTimeout = 10_000; // ms, from opening the socket to `ready`
const firstRetry = 250; // ms, doubled each time
const slowestRetry = 5_000; // ms

/**
 * The signal connection of one pid: it says hello, answers requests by id, hands on the log in
 * order, and takes itself up again when the socket is lost, until it is told to leave or the
 * server refuses it.
 */
export class Connection {
  readonly #options: Required<ConnectionOptions>;
  readonly #events = new Emitter<ConnectionEvents>();
  readonly #pending = new Map<number, Pending>();
  #socket: Socket | undefined;
  #ready = false;
  #over = false;
  #nextId = 1;
  #retries = 0;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #openTimer: ReturnType<typeof setTimeout> | undefined;
  #fatal: Code | undefined;
  #resume: { token: string; logId: string; after: number } | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = { openSocket: openWebSocket, random: Math.random, ...options };
  }

  /** Subscribes until the returned function is called or the connection is over. */
  readonly on: Emitter<ConnectionEvents>['on'] = (event, handler) =>
    this.#events.on(event, handler);

  /** Opens the first socket. */
  open(): void {
    const socket = this.#options.openSocket(this.#options.url, Subprotocol);
    this.#socket = socket;
    this.#fatal = undefined;
    this.#openTimer = setTimeout(() => this.#drop(socket), openTimeout);
    socket.onopen = () => this.#hello(socket);
    socket.onmessage = ({ data }) => {
      if (socket === this.#socket && typeof data === 'string') this.#receive(data);
    };
    socket.onclose = () => this.#drop(socket);
  }

  /** Takes a fresh socket now, in place of one that may be dead: its end is not always heard of. */
  reconnect(): void {
    if (this.#socket && this.#ready) this.#drop(this.#socket);
    this.retryNow();
  }

  /** Tries at once instead of at the end of the pause; for when the network comes back. */
  retryNow(): void {
    if (this.#retryTimer === undefined) return;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    this.open();
  }

  /** Sends a message that is answered by `appended` or `answer`, or rejects with a SignalError. */
  request(message: Extract<ClientMessage, { type: 'join' | 'create' | 'commit' | 'offer' }>) {
    return new Promise<Answered>((resolve, reject) => {
      const socket = this.#socket;
      if (!this.#ready || !socket) {
        reject(new SignalError('connection_lost', `${message.type}: no connection`));
        return;
      }
      const id = this.#nextId++;
      const timer = setTimeout(() => this.#drop(socket), answerTimeout);
      this.#pending.set(id, { resolve, reject, timer });
      this.#send({ ...message, id });
    });
  }

  /** Sends a message that needs no answer. Without a connection it is dropped; false says so. */
  tell(message: Extract<ClientMessage, { type: 'view' | 'mute' | 'message' }>): boolean {
    if (this.#ready) this.#send(message);
    return this.#ready;
  }

  /** Ends the participation and the connection. */
  leave(): void {
    if (this.#over) return;
    if (this.#ready) this.#send({ type: 'leave', body: {} });
    this.#end({ remedy: 'end', code: 'left' });
  }

  #hello(socket: Socket): void {
    if (socket !== this.#socket) return;
    const { pid } = this.#options;
    const resume = this.#resume;
    this.#send({ type: 'hello', body: { pid, ...(resume ? { resume } : {}), lists: true } });
  }

  #send(message: ClientMessage): void {
    this.#socket?.send(JSON.stringify(message));
  }

  #receive(text: string): void {
    const message = decodeServerMessage(text);
    if (!message) return;
    switch (message.type) {
      case 'ready':
        return this.#welcome(message.body);
      case 'log':
        return this.#append(message.body.entries);
      case 'participant':
        return this.#events.emit('participant', message.body);
      case 'participants':
        for (const participant of message.body.participants)
          this.#events.emit('participant', participant);
        return;
      case 'gone':
        return this.#events.emit('gone', message.body);
      case 'message':
        return this.#events.emit('message', message.body);
      case 'slots':
        return this.#events.emit('slots', message.body);
      case 'demand':
        return this.#events.emit('demand', message.body);
      case 'media-down':
        return this.#events.emit('mediaDown', message.body);
      case 'appended':
      case 'answer':
        return this.#take(message.re)?.resolve(message.body);
      case 'error':
        return this.#refuse(message.re, message.body);
    }
  }

  #welcome(ready: Ready): void {
    clearTimeout(this.#openTimer);
    this.#ready = true;
    this.#retries = 0;
    const after = ready.resumed ? (this.#resume?.after ?? 0) : 0;
    this.#resume = { token: ready.token, logId: ready.logId, after };
    this.#events.emit('ready', ready);
  }

  /** Hands on what is new. An entry that we have is skipped; a gap ends this socket, and the log is asked for again. */
  #append(entries: Entry[]): void {
    const resume = this.#resume;
    if (!resume) return;
    const fresh = entries.filter((entry) => entry.position > resume.after);
    const gap = fresh.findIndex((entry, i) => entry.position !== resume.after + 1 + i);
    const next = gap < 0 ? fresh : fresh.slice(0, gap);
    resume.after += next.length;
    if (next.length > 0) this.#events.emit('entries', next);
    if (gap >= 0 && this.#socket) this.#drop(this.#socket);
  }

  #refuse(re: number | undefined, error: { code: Code; message: string }): void {
    const pending = re === undefined ? undefined : this.#take(re);
    if (pending) pending.reject(new SignalError(error.code, error.message));
    else this.#fatal = error.code; // the server closes next, and onclose acts on it
  }

  #take(re: number | undefined): Pending | undefined {
    const pending = re === undefined ? undefined : this.#pending.get(re);
    if (!pending || re === undefined) return undefined;
    clearTimeout(pending.timer);
    this.#pending.delete(re);
    return pending;
  }

  /** Gives up a socket: closed by the server, silent, or out of order. */
  #drop(socket: Socket): void {
    if (socket !== this.#socket) return;
    this.#detach();
    const remedy = remedyFor(this.#fatal);
    if (remedy !== 'resume') {
      this.#end({ remedy, code: this.#fatal ?? 'internal' });
      return;
    }
    this.#events.emit('lost', undefined);
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.open();
    }, this.#pause());
  }

  /** The pause before the next attempt, in ms: doubling, at most 5 s, spread over its upper half. */
  #pause(): number {
    const whole = Math.min(slowestRetry, firstRetry * 2 ** this.#retries++);
    return whole * (0.5 + this.#options.random() / 2);
  }

  #detach(code?: number): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#ready = false;
    clearTimeout(this.#openTimer);
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close(code);
    }
    const error = new SignalError('connection_lost', 'the connection was lost before the answer');
    for (const id of [...this.#pending.keys()]) this.#take(id)?.reject(error);
  }

  #end(closed: ConnectionEvents['closed']): void {
    if (this.#over) return;
    this.#over = true;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = undefined;
    this.#detach(1000);
    this.#events.emit('closed', closed);
    this.#events.clear();
  }
}

function openWebSocket(url: string, subprotocol: string): Socket {
  return new WebSocket(url, subprotocol);
}

/** The address of a room's WebSocket on the origin that served the page. */
export function roomSocketURL(origin: string, room: string): string {
  const url = new URL(`/api/v1/rooms/${encodeURIComponent(room)}/ws`, origin);
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
  return url.href;
}
