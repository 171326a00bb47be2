import { expect, it } from 'vitest';
import { Audience } from './audience';

const roster = (...pids: string[]) => new Map(pids.map((pid, leaf) => [leaf, pid]));

it('has somebody new who came, moved, or came back to the same place', () => {
  const audience = new Audience();
  expect(audience.become(roster('ann', 'bob'))).toBe(true);
  expect(audience.become(roster('ann', 'bob'))).toBe(false);
  expect(audience.become(roster('ann'))).toBe(false);
  expect(audience.become(roster('ann', 'bob'))).toBe(true);
  expect(audience.become(roster('bob', 'ann'))).toBe(true);
  audience.remove([1]);
  expect(audience.become(roster('bob', 'ann'))).toBe(true);
  audience.remove([7]);
  expect(audience.become(roster('bob', 'ann'))).toBe(false);
});
