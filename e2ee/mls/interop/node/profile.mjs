// A module loader hook that fits ts-mls to our profile, without a copy of its code:
//
//   - a commit always has a path. RFC 9420, Section 12.4, leaves it to the committer where
//     only members are added, and ts-mls leaves it out;
//   - the suite that 1.6.4 numbers 84 has the number of its later versions, 0xF00E.
//
// A text that is not found is an error: another version of ts-mls needs another look.

const changes = {
  '/createCommit.js': [['= res.needsUpdatePath\n', '= true\n']],
  '/crypto/ciphersuite.js': [
    [
      'MLS_256_XWING_CHACHA20POLY1305_SHA512_Ed25519: 84,',
      'MLS_256_XWING_CHACHA20POLY1305_SHA512_Ed25519: 0xf00e,',
    ],
    ['\n    84: {\n', '\n    0xf00e: {\n'],
  ],
};

export async function load(url, context, next) {
  const loaded = await next(url, context);
  const at = Object.keys(changes).find((path) => url.endsWith(`/ts-mls/dist/src${path}`));
  if (!at) return loaded;
  let source = loaded.source.toString();
  for (const [from, to] of changes[at]) {
    if (source.split(from).length !== 2)
      throw new Error(`ts-mls has changed: no ${JSON.stringify(from)} in ${url}`);
    source = source.replace(from, to);
  }
  return { ...loaded, source };
}
