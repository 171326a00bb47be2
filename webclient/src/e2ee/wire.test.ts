import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Entry } from '../signal/generated';
import { type Config, decodeOutput, encodeConfig, encodeInput, type Input } from './wire';

interface Golden {
  name: string;
  kind: 'config' | 'input' | 'output';
  value: unknown;
  hex: string;
}

// The Go side writes this file and reads it too.
const path = new URL('../../../e2ee/wasm/bridge/testdata/messages.json', import.meta.url);
const golden = JSON.parse(readFileSync(path, 'utf8')) as Golden[];

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const of = (kind: Golden['kind']) => golden.filter((message) => message.kind === kind);
const bytes = (text: string) => Uint8Array.from(Buffer.from(text, 'hex'));

describe('messages to the core', () => {
  it.each(of('config'))('$name', ({ value, hex: want }) => {
    expect(hex(encodeConfig(value as Config))).toBe(want);
  });

  it.each(of('input'))('$name', ({ value, hex: want }) => {
    expect(hex(encodeInput(value as Input))).toBe(want);
  });

  it('may be long', () => {
    const name = 'n'.repeat(100_000);
    const text = encodeConfig({ link: 'l', pid: name, name });
    expect(text).toHaveLength(3 * 4 + 1 + 2 * name.length);
    expect(new TextDecoder().decode(text.subarray(9, 9 + name.length))).toBe(name);
  });

  const pid = 'AAECAwQFBgcICQoLDA0O_w';
  const left: Entry = { position: 1, time: 2, kind: 'left', pid };
  it.each<[string, Input]>([
    ['a negative number', { type: 'log-opened', logId: '', head: -1 }],
    ['a fraction', { type: 'log-entry', entry: { ...left, position: 1.5 } }],
    ['a number that is not exact', { type: 'log-entry', entry: { ...left, time: 2 ** 53 } }],
    ['a number of more than 32 bits', { type: 'posted', seq: 2 ** 32 }],
    ['text for a number', { type: 'posted', seq: '1' as unknown as number }],
    ['what is not base64', { type: 'log-opened', logId: '*', head: 0 }],
    ['an entry without its body', { type: 'log-entry', entry: { ...left, kind: 'joined' } }],
    ['an unknown kind', { type: 'log-entry', entry: { ...left, kind: 'new' as 'left' } }],
    ['no entry', { type: 'log-entry' } as Input],
  ])('are empty for %s', (_, input) => {
    expect(encodeInput(input)).toHaveLength(0);
  });
});

describe('messages of the core', () => {
  it.each(of('output'))('$name', ({ value, hex: text }) => {
    expect(decodeOutput(bytes(text))).toEqual(value);
  });

  it('are read from the middle of a buffer', () => {
    const [{ value, hex: text }] = of('output') as [Golden];
    const padded = bytes(`ffffff${text}ff`);
    expect(decodeOutput(padded.subarray(3, -1))).toEqual(value);
  });

  it('are refused at every other length', () => {
    for (const { hex: text } of of('output')) {
      const whole = bytes(text);
      for (let n = 0; n < whole.length; n++) {
        expect(() => decodeOutput(whole.subarray(0, n))).toThrow(RangeError);
      }
      expect(() => decodeOutput(bytes(`${text}00`))).toThrow('left over');
    }
    expect(() => decodeOutput(bytes('07'))).toThrow('unknown output');
    expect(() => decodeOutput(bytes('010000000104'))).toThrow('unknown post');
  });
});
