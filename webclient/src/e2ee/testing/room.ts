import { createHash } from 'node:crypto';
import type { Core } from '../core';
import type { Entry } from '../../signal/generated';
import type { Post } from '../types';
import type { Output } from '../wire';

const digest = (base64: string): string =>
  createHash('sha256').update(Buffer.from(base64, 'base64')).digest('base64');

/** One participant's core, and all that it has said. */
export interface Participant {
  core: Core;
  pid: string;
  outputs: Output[];
  seen: number;
}

/** A room's log and clock: it appends by compare and swap and looks into nothing. */
export class TestRoom {
  readonly participants: Participant[] = [];
  readonly #entries: Entry[] = [];
  #now = 1_800_000_000_000;
  #last = 0;

  enter(core: Core, pid: string): Participant {
    const p: Participant = { core, pid, outputs: [], seen: 0 };
    this.participants.push(p);
    const logId = Buffer.alloc(16, 9).toString('base64');
    core.step(this.#now, { type: 'log-opened', logId, head: this.#entries.length });
    this.#poll(p);
    return p;
  }

  /** Brings the log to all and lets time pass, until done; at most a minute. */
  settle(done: () => boolean): void {
    for (let end = this.#now + 60_000; this.#now < end; this.#now += 100) {
      for (const p of this.participants) this.#serve(p);
      if (done()) return;
    }
    throw new Error('nothing has come of it within a minute');
  }

  #serve(p: Participant): void {
    for (let entry = this.#entries[p.seen]; entry; entry = this.#entries[p.seen]) {
      p.seen++;
      p.core.step(this.#now, { type: 'log-entry', entry });
      this.#poll(p);
    }
    const at = p.core.deadline();
    if (at === 0 || at > this.#now) return;
    p.core.step(this.#now, { type: 'tick' });
    this.#poll(p);
  }

  #poll(p: Participant): void {
    for (let output = p.core.poll(); output; output = p.core.poll()) {
      p.outputs.push(output);
      if (output.type === 'post') this.#answer(p, output.post);
    }
  }

  #answer(p: Participant, post: Post): void {
    const stale = post.type !== 'join' && post.body.last !== this.#last;
    if (!stale) this.#append(p.pid, post);
    const { seq } = post;
    p.core.step(this.#now, { type: 'posted', seq, ...(stale ? { code: 'stale' } : {}) });
  }

  #append(pid: string, post: Post): void {
    const position = this.#entries.length + 1;
    const entry = { position, time: this.#now, pid };
    if (post.type !== 'join') this.#last = position;
    switch (post.type) {
      case 'join':
        this.#entries.push({ ...entry, kind: 'joined', joined: post.body });
        return;
      case 'create':
        this.#entries.push({ ...entry, kind: 'create', create: post.body });
        return;
      case 'commit': {
        const { commit, welcome } = post.body;
        const digests = {
          commitDigest: digest(commit),
          ...(welcome === undefined ? {} : { welcomeDigest: digest(welcome) }),
        };
        this.#entries.push({ ...entry, kind: 'commit', commit: { ...post.body, ...digests } });
      }
    }
  }
}
