import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { place } from './place';
import { conclave } from './server';

const here = place(['chromium']);
const scratch = mkdtempSync(join(tmpdir(), 'conclave-e2e-'));

afterAll(() => rmSync(scratch, { recursive: true, force: true }));

it('a native participant and a browser see each other', async () => {
  const maya = await here.chromium.person('Maya');
  const link = await maya.open(here.server.url);
  await maya.expectWholeKey();

  const report = join(scratch, 'report.json');
  const native = spawn(
    conclave,
    [
      'loadtest',
      ...['--link', link, '--publishers', '1', '--subscribers', '0'],
      ...['--duration', '20s', '--json', report],
    ],
    { stdio: 'ignore' },
  );
  const ended = once(native, 'exit');

  const other = maya.page.getByRole('region').and(maya.page.locator(':not([aria-label="Maya"])'));
  const name = await other.getAttribute('aria-label');
  await maya.expectToSee(name ?? '');
  await maya.expectToHear();
  await ended;

  // Its frames_wrong counts the browser's too, which are no frames of the clip.
  const result = JSON.parse(readFileSync(report, 'utf8')) as Record<string, unknown>;
  expect(result['frames_failed']).toBe(0);
  expect(result['frames_decrypted']).toBeGreaterThan(0);
  expect(result['safety_numbers']).toHaveLength(1);
});
