import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Core } from './core';
import { Codec } from './framecrypt';
import { type Opened, Ring } from './ring';
import { type Participant, TestRoom } from './testing/room';
import type { Output } from './wire';

const wasm = new URL('./generated/conclave.wasm', import.meta.url);

const link = `https://meet.example/r/tea#${Buffer.from([
  ...[1, 0, 1],
  ...Array<number>(16).fill(7),
  ...Array<number>(16).fill(0),
]).toString('base64url')}`;

const pid = (n: number) => Buffer.alloc(16, n).toString('base64url');

type Started = Output & { type: 'epoch-started' };

const epochsOf = (p: Participant) =>
  p.outputs.filter((output): output is Started => output.type === 'epoch-started');

// `make wasm` builds it.
describe.skipIf(!existsSync(wasm))('the Go core', () => {
  let load: () => Promise<Core>;

  beforeAll(async () => {
    const module = readFileSync(wasm);
    vi.stubGlobal('fetch', () =>
      Promise.resolve(new Response(module, { headers: { 'content-type': 'application/wasm' } })),
    );
    const { Core } = await import('./core');
    load = () => Core.load(() => undefined);
  });
  afterAll(() => vi.unstubAllGlobals());

  const joined = async (n: number) => {
    const core = await load();
    core.create({ link, pid: pid(n), name: `Person ${n}` });
    return core;
  };

  it('says by code what it does not take, and can be asked again', async () => {
    const core = await load();
    const refused = (config: Partial<Parameters<Core['create']>[0]>) => {
      try {
        core.create({ link, pid: pid(1), name: 'Ann', ...config });
        return 'taken';
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(refused({ link: link.slice(0, -1) })).toBe('bad_link');
    expect(refused({ pid: 'short' })).toBe('bad_pid');
    expect(refused({ name: '' })).toBe('bad_name');
    expect(refused({})).toBe('taken');
  });

  it('leads two to one safety number, and to frames that each opens of the other', async () => {
    const room = new TestRoom();
    const ann = room.enter(await joined(1), pid(1));
    const bob = room.enter(await joined(2), pid(2));
    room.settle(() => [ann, bob].every((p) => epochsOf(p).at(-1)?.members.length === 2));
    const [a, b] = [epochsOf(ann).at(-1)!, epochsOf(bob).at(-1)!];
    expect(a.safetyNumber).toMatch(/^(\d{5} ){5}\d{5}$/);
    expect(b.safetyNumber).toBe(a.safetyNumber);
    expect(a.members.map(({ pid, name }) => [pid, name]).sort()).toEqual(
      [1, 2].map((n) => [pid(n), `Person ${n}`]).sort(),
    );

    const rings = await Promise.all(
      [ann, bob].map(async (p) => {
        const ring = new Ring((kid) => p.core.keyFor(kid));
        const { epoch, own, members, removed } = epochsOf(p).at(-1)!;
        const leaves = members.map(({ leaf }) => leaf);
        expect(ring.start(epoch, own, leaves, removed)).toBe(true);
        expect(await ring.sendWith(epoch)).toBe(true);
        return ring;
      }),
    );
    const frame = () => Uint8Array.from([0xfc, 1, 2, 3]).buffer;
    for (const [from, to] of [rings, rings.toReversed()] as [Ring, Ring][]) {
      const sealed = await from.seal(0, Codec.opus, frame());
      if (!sealed.ok) throw new Error(sealed.code);
      const opened: Opened = await to.open(Codec.opus, sealed.data);
      expect(opened.ok && new Uint8Array(opened.data)).toEqual(new Uint8Array(frame()));
    }
  });

  it('says why there is no key', async () => {
    const core = await joined(1);
    expect(core.keyFor(0)).toBe('missing_key');
    expect(core.keyFor(2 ** 40)).toBe('missing_key');
  });

  it('stops for good after an input that is none', async () => {
    const core = await joined(1);
    const entry = { position: 1, time: 0, kind: 'joined' as const, pid: pid(1) };
    const code = (f: () => unknown) => {
      try {
        f();
      } catch (error) {
        return (error as { code: string }).code;
      }
      return undefined;
    };
    expect(code(() => core.step(0, { type: 'log-entry', entry }))).toBe('bad_message');
    expect(code(() => core.step(0, { type: 'tick' }))).toBe('stopped');
    expect(code(() => core.poll())).toBe('stopped');
    expect(code(() => core.keyFor(0))).toBe('stopped');
  });

  it('reports a panic as fatal, and does nothing after it', async () => {
    const core = await load();
    const code = (f: () => unknown) => {
      try {
        f();
      } catch (error) {
        return (error as { code: string }).code;
      }
      return undefined;
    };
    // A step before there is a session is a fault of ours: a nil pointer in Go.
    expect(code(() => core.step(0, { type: 'tick' }))).toBe('core_failed');
    expect(code(() => core.create({ link, pid: pid(1), name: 'Ann' }))).toBe('core_failed');
    expect(code(() => core.keyFor(0))).toBe('core_failed');
    expect(code(() => core.deadline())).toBe('core_failed');
  });
});
