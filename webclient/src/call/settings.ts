/** How long a new meeting waits for the server's word. */
const patience = 2000; // ms

/**
 * The MLS suite that this server wants new meetings to have, undefined if it does not say.
 * It is a wish: `newLink` takes only suites that it knows, and an existing link has its own.
 */
export async function wantedSuite(ask: typeof fetch = fetch): Promise<string | undefined> {
  try {
    const answer = await ask('/api/v1/settings', { signal: AbortSignal.timeout(patience) });
    if (!answer.ok) return undefined;
    const settings: unknown = await answer.json();
    if (typeof settings !== 'object' || settings === null || !('mlsSuite' in settings))
      return undefined;
    return typeof settings.mlsSuite === 'string' ? settings.mlsSuite : undefined;
  } catch {
    return undefined; // no server, no JSON, no time
  }
}
