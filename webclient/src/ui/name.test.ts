import { describe, expect, it } from 'vitest';
import { cleanName, initials } from './name';

describe('cleanName', () => {
  it.each([
    ['Maya', 'Maya'],
    ['  Maya Lindqvist ', 'Maya Lindqvist'],
    ['May\u202ea', 'Maya'],
    ['Ma\u0000ya\n', 'Maya'],
    ['مايا', 'مايا'],
    ['', undefined],
    [' \u2028\u200f ', undefined],
  ])('%j: %j', (typed, name) => {
    expect(cleanName(typed)).toBe(name);
  });

  it('cuts to 128 bytes without cutting a character', () => {
    expect(cleanName('a'.repeat(200))).toBe('a'.repeat(128));
    expect(cleanName('é'.repeat(100))).toBe('é'.repeat(64));
    expect(cleanName('🦊'.repeat(40))).toBe('🦊'.repeat(32));
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
