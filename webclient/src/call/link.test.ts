import { describe, expect, it } from 'vitest';
import { decodeBase64url, encodeBase64url } from './base64';
import { newLink, newPID, parseLink } from './link';

const fragment = (format: number, version: number, length = 35): string => {
  const bytes = new Uint8Array(length).fill(7);
  bytes[0] = format;
  bytes[1] = version >> 8;
  bytes[2] = version & 255;
  return encodeBase64url(bytes);
};
const good = `https://meet.example/r/tea-room_1#${fragment(1, 1)}`;

describe('parseLink', () => {
  it('reads a link', () => {
    expect(parseLink(good)).toEqual({ room: 'tea-room_1', href: good });
    expect(parseLink(`  ${good}\n`)).toEqual({ room: 'tea-room_1', href: good });
    for (const format of [2, 3]) {
      const other = `http://localhost:8080/r/x#${fragment(format, 65535)}`;
      expect(parseLink(other)).toMatchObject({ room: 'x' });
    }
  });

  it.each([
    ['', 'not-a-link'],
    ['tea', 'not-a-link'],
    ['javascript:alert(1)', 'not-a-link'],
    ['https://meet.example/', 'not-a-link'],
    [`https://meet.example/room/x#${fragment(1, 1)}`, 'not-a-link'],
    [`https://meet.example/r/x/y#${fragment(1, 1)}`, 'not-a-link'],
    [`https://meet.example/r/#${fragment(1, 1)}`, 'bad-room'],
    [`https://meet.example/r/a%20b#${fragment(1, 1)}`, 'bad-room'],
    [`https://meet.example/r/${'a'.repeat(65)}#${fragment(1, 1)}`, 'bad-room'],
    ['https://meet.example/r/x', 'no-secret'],
    ['https://meet.example/r/x#', 'no-secret'],
    ['https://meet.example/r/x#AQAB', 'bad-secret'],
    [`https://meet.example/r/x#${fragment(1, 0)}`, 'bad-secret'],
    [`https://meet.example/r/x#${fragment(1, 1, 34)}`, 'bad-secret'],
    [`https://meet.example/r/x#${fragment(1, 1, 36)}`, 'bad-secret'],
    [`https://meet.example/r/x#${fragment(1, 1)}=`, 'bad-secret'],
    [`https://meet.example/r/x#${fragment(1, 1).slice(0, -1)}`, 'bad-secret'],
    [`https://meet.example/r/x#${fragment(0, 1)}`, 'newer-format'],
    [`https://meet.example/r/x#${fragment(4, 1)}`, 'newer-format'],
  ])('%s: %s', (link, fault) => {
    expect(parseLink(link)).toBe(fault);
  });

  it('refuses a fragment cut anywhere', () => {
    const start = good.indexOf('#') + 1;
    for (let end = start; end < good.length; end++) {
      expect(typeof parseLink(good.slice(0, end))).toBe('string');
    }
  });
});

describe('newLink', () => {
  it('writes the format, and what it was given of randomness', () => {
    const suites: [suite: string | undefined, format: number][] = [
      [undefined, 3],
      ['0xF00E', 3],
      ['0x0003', 1],
      ['0x0001', 2],
      ['0x0002', 3],
      ['', 3],
      ['constructor', 3],
    ];
    for (const [suite, format] of suites) {
      const link = newLink('https://meet.example', suite, (bytes) => bytes.fill(33));
      const secret = Array<number>(16).fill(33);
      const bytes = Uint8Array.from([format, 0, 1, ...secret, ...Array<number>(16).fill(0)]);
      expect(link).toBe(`https://meet.example/r/bbbbbbbbbb#${encodeBase64url(bytes)}`);
    }
  });

  it('makes links that can be joined, none twice', () => {
    const links = Array.from({ length: 100 }, () => newLink('http://localhost:8080'));
    for (const link of links) expect(parseLink(link)).toMatchObject({ href: link });
    expect(new Set(links).size).toBe(100);
  });
});

describe('base64url', () => {
  it.each([0, 1, 2, 3, 16, 35, 255])('gives %i bytes back', (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 89) & 255);
    expect(decodeBase64url(encodeBase64url(bytes))).toEqual(bytes);
  });

  it.each(['A', 'AB', 'AB==', 'A+', 'A/', 'A A', 'é', 'AAAAA'])('refuses %j', (text) => {
    expect(decodeBase64url(text)).toBeUndefined();
  });

  it('a pid has 22 characters', () => {
    expect(newPID()).toMatch(/^[A-Za-z0-9_-]{22}$/);
  });
});
