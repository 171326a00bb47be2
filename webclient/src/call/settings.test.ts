import { describe, expect, it } from 'vitest';
import { wantedSuite } from './settings';

const answers =
  (body: BodyInit, init?: ResponseInit): typeof fetch =>
  (url) => {
    expect(url).toBe('/api/v1/settings');
    return Promise.resolve(new Response(body, init));
  };

describe('wantedSuite', () => {
  it('is what the server says', async () => {
    expect(await wantedSuite(answers('{"mlsSuite":"0x0003","more":1}'))).toBe('0x0003');
  });

  it.each(['', '{}', 'null', '[]', '3', '{"mlsSuite":3}', '{"mlsSuite":null}', '<!doctype html>'])(
    'is open after %j',
    async (body) => {
      expect(await wantedSuite(answers(body))).toBeUndefined();
    },
  );

  it('is open if the server does not answer', async () => {
    expect(await wantedSuite(answers('{"mlsSuite":"0x0003"}', { status: 404 }))).toBeUndefined();
    expect(await wantedSuite(() => Promise.reject(new TypeError('offline')))).toBeUndefined();
  });
});
