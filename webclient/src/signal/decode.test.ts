import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeServerMessage } from './decode';

const golden = new URL('../../../room/signal/testdata/', import.meta.url);
const files = readdirSync(golden).filter((name) => name.startsWith('server-'));

/** A Go encoder writes no empty list that is marked omitempty, and null for a nil one. */
function read(name: string): string {
  return readFileSync(new URL(name, golden), 'utf8');
}

describe('golden messages of the server', () => {
  it('cover every type', () => {
    const types = new Set(files.map((name) => (JSON.parse(read(name)) as { type: string }).type));
    expect([...types].sort()).toEqual(
      [
        'answer',
        'appended',
        'demand',
        'error',
        'gone',
        'log',
        'media-down',
        'message',
        'participant',
        'participants',
        'ready',
        'slots',
      ].sort(),
    );
  });

  it.each(files)('%s decodes to what it says', (name) => {
    const text = read(name);
    expect(decodeServerMessage(text)).toEqual(JSON.parse(text));
  });

  it.each(files)('%s cut anywhere is refused', (name) => {
    const text = read(name).trimEnd();
    for (let end = 0; end < text.length; end++) {
      expect(decodeServerMessage(text.slice(0, end))).toBeUndefined();
    }
  });
});

describe('what is not a message', () => {
  it.each([
    ['not JSON', 'hello'],
    ['a list', '[]'],
    ['no type', '{"body":{}}'],
    ['an unknown type', '{"type":"party","body":{}}'],
    ['a name of Object.prototype', '{"type":"constructor","body":{}}'],
    ['a body that is a list', '{"type":"gone","body":[]}'],
    ['a missing field', '{"type":"gone","body":{}}'],
    ['a field of another type', '{"type":"appended","body":{"position":"7"}}'],
    [
      'an entry without a position',
      '{"type":"log","body":{"entries":[{"kind":"left","pid":"a"}]}}',
    ],
    ['participants that are none', '{"type":"participants","body":{}}'],
    ['one of them without a pid', '{"type":"participants","body":{"participants":[{}]}}'],
    ['a re that is no number', '{"type":"appended","re":"1","body":{"position":7}}'],
  ])('%s is dropped', (_, text) => {
    expect(decodeServerMessage(text)).toBeUndefined();
  });

  it('ignores unknown fields', () => {
    expect(decodeServerMessage('{"type":"gone","body":{"pid":"a","mood":"good"},"x":1}')).toEqual({
      type: 'gone',
      body: { pid: 'a', mood: 'good' },
    });
  });
});

describe('lists that are left out', () => {
  it.each([
    ['slots', { connection: 1 }, { connection: 1, slots: [] }],
    ['participant', { pid: 'p' }, { pid: 'p', publications: [] }],
    [
      'participants',
      { participants: [{ pid: 'p' }] },
      { participants: [{ pid: 'p', publications: [] }] },
    ],
    [
      'ready',
      { token: '', logId: '', headHash: '', head: 0, now: 0, maxMessage: 0, resumed: false },
      { here: [] },
    ],
  ])('are empty in %s', (type, body, whole) => {
    expect(decodeServerMessage(JSON.stringify({ type, body }))).toMatchObject({ body: whole });
  });
});
