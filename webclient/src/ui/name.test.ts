import { describe, expect, it } from 'vitest';
import { cleanName, initials, namesakes } from './name';

describe('cleanName', () => {
  it.each([
    ['Maya', 'Maya'],
    ['  Maya Lindqvist ', 'Maya Lindqvist'],
    ['May\u202ea', 'Maya'],
    ['Ma\u0000ya\n', 'Maya'],
    ['مايا', 'مايا'],
    ['', undefined],
    [' \u2028\u200f ', undefined],
    ['\u3164', undefined],
    ['\u200b\u2060\u00ad', undefined],
    ['\u2800', undefined],
    ['\u200d', undefined],
    ['May\u200ba', 'Maya'],
    ['Ma\u2060ya', 'Maya'],
    ['Ma\u200cya', 'Maya'],
    ['Maya\ufe0f', 'Maya'],
    ['Maya\u200b ', 'Maya'],
    ['می\u200cنا', 'می\u200cنا'],
    ['\u200cمینا\u200d', 'مینا'],
    ['ක්\u200dර', 'ක්\u200dර'],
    ['👩\u200d💻 Ada', '👩\u200d💻 Ada'],
    ['❤️\u200d🔥', '❤️\u200d🔥'],
    ['👩🏽\u200d🚀', '👩🏽\u200d🚀'],
  ])('%j: %j', (typed, name) => {
    expect(cleanName(typed)).toBe(name);
  });

  it('cuts to 128 bytes without cutting a character', () => {
    expect(cleanName('a'.repeat(200))).toBe('a'.repeat(128));
    expect(cleanName('é'.repeat(100))).toBe('é'.repeat(64));
    expect(cleanName('🦊'.repeat(40))).toBe('🦊'.repeat(32));
  });
});

describe('namesakes', () => {
  it('numbers those who look the same, in the order of their leaves', () => {
    const all = ['Maya', 'Tom', 'maya', 'Ma\u200cya', 'Aiko'].map((name, i) => ({
      leaf: 9 - i,
      pid: `p${i}`,
      name,
    }));
    expect([...namesakes(all)]).toEqual([
      ['p3', 1],
      ['p2', 2],
      ['p0', 3],
    ]);
  });
});

describe('initials', () => {
  it.each([
    ['Maya', 'M'],
    ['maya lindqvist', 'ML'],
    ['Ana Maria de Souza', 'AS'],
    ['🦊 fox', '🦊F'],
    ['', ''],
  ])('%j: %j', (name, letters) => {
    expect(initials(name)).toBe(letters);
  });
});
