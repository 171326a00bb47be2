import { expect, it, vi } from 'vitest';
import { Spare } from './spare';
import { FakeEncryption, settle } from './testing';

it('gives each worker once, the loaded one first', async () => {
  const start = vi.fn(() => Promise.resolve(new FakeEncryption()));
  const spare = new Spare(start);
  spare.load();
  spare.load();
  expect(start).toHaveBeenCalledTimes(1);
  const taken = await Promise.all([spare.take(), spare.take()]);
  expect(start).toHaveBeenCalledTimes(2);
  expect(taken[0]).not.toBe(taken[1]);
  spare.load();
  expect(start).toHaveBeenCalledTimes(3);
});

it('tries again where loading has failed, before it is wanted or while', async () => {
  const results = [
    Promise.reject(new Error('no network')),
    Promise.reject(new Error('no network')),
    Promise.resolve(new FakeEncryption()),
    Promise.reject(new Error('no network')),
  ];
  const start = vi.fn(() => results.shift()!);
  const spare = new Spare(start);
  spare.load();
  await settle();
  spare.load();
  await expect(spare.take()).resolves.toBeInstanceOf(FakeEncryption);
  await expect(spare.take()).rejects.toThrow('no network');
  expect(start).toHaveBeenCalledTimes(4);
});

it('gives none that has stopped meanwhile', async () => {
  const made: FakeEncryption[] = [];
  const spare = new Spare(() => {
    made.push(new FakeEncryption());
    return Promise.resolve(made.at(-1)!);
  });
  spare.load();
  await settle();
  made[0]?.emit('fatal', { code: 'core_failed', message: '' });
  expect(await spare.take()).toBe(made[1]);
});
