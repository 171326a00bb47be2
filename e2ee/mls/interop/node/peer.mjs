// ts-mls behind standard input and output: each line is a request {call, who, ...}, each answer
// a line {ok: ...} or {error: "..."}. Byte strings are hexadecimal. One process plays any number
// of members, by the names in `who`.
import { register } from 'node:module';
import { createInterface } from 'node:readline';

register('./profile.mjs', import.meta.url);
const mls = await import('ts-mls');

const hex = (bytes) => Buffer.from(bytes).toString('hex');
const unhex = (text) => new Uint8Array(Buffer.from(text, 'hex'));

const suiteNames = Object.fromEntries(
  Object.entries(mls.ciphersuites).map(([name, id]) => [id, name]),
);
const config = {
  keyRetentionConfig: {
    ...mls.defaultKeyRetentionConfig,
    retainKeysForGenerations: 1000,
    maximumForwardRatchetSteps: 1000,
  },
  lifetimeConfig: mls.defaultLifetimeConfig,
  keyPackageEqualityConfig: mls.defaultKeyPackageEqualityConfig,
  paddingConfig: mls.defaultPaddingConfig,
  authService: mls.defaultAuthenticationService,
};
const members = new Map();

const decode = (text, wireformat) => {
  const decoded = mls.decodeMlsMessage(unhex(text), 0);
  if (!decoded || decoded[0].wireformat !== wireformat) throw new Error(`not a ${wireformat}`);
  return decoded[0];
};
const encode = (message) => hex(mls.encodeMlsMessage({ version: 'mls10', ...message }));

const pskIndex = (m) => mls.makePskIndex(m.state, { [mls.bytesToBase64(m.psk.id)]: m.psk.secret });
const pskProposal = (m) => ({
  proposalType: 'psk',
  psk: {
    preSharedKeyId: {
      psktype: 'external',
      pskId: m.psk.id,
      pskNonce: m.cs.rng.randomBytes(m.cs.kdf.size),
    },
  },
});

const calls = {
  /** Makes a participant and its KeyPackage. */
  async member({ who, suite, identity, lifetime, extensions, psk }) {
    const cs = await mls.getCiphersuiteImpl(
      mls.getCiphersuiteFromName(suiteNames[suite]),
      mls.nobleCryptoProvider,
    );
    const capabilities = {
      versions: ['mls10'],
      ciphersuites: [suiteNames[suite], 'MLS_128_DHKEMP256_AES128GCM_SHA256_P256'],
      extensions: [...extensions, 0x5a5a],
      proposals: [0x6a6a],
      credentials: ['basic'],
    };
    const kp = await mls.generateKeyPackage(
      { credentialType: 'basic', identity: unhex(identity) },
      capabilities,
      { notBefore: BigInt(lifetime[0]), notAfter: BigInt(lifetime[1]) },
      [],
      cs,
    );
    members.set(who, { cs, ...kp, psk: { id: unhex(psk.id), secret: unhex(psk.secret) } });
    return encode({ wireformat: 'mls_key_package', keyPackage: kp.publicPackage });
  },

  async create(m, { group, extensions }) {
    const list = extensions.map(({ type, data }) => ({
      extensionType: type === 3 ? 'required_capabilities' : type,
      extensionData: unhex(data),
    }));
    m.state = await mls.createGroup(
      unhex(group),
      m.publicPackage,
      m.privatePackage,
      list,
      m.cs,
      config,
    );
  },

  async join(m, { welcome }) {
    const { welcome: w } = decode(welcome, 'mls_welcome');
    m.state = await mls.joinGroup(
      w,
      m.publicPackage,
      m.privatePackage,
      pskIndex(m),
      m.cs,
      undefined,
      undefined,
      config,
    );
  },

  async commit(m, { adds, removes, aad, publicMessage }) {
    const extraProposals = [
      ...removes.map((removed) => ({ proposalType: 'remove', remove: { removed } })),
      ...adds.map((kp) => ({
        proposalType: 'add',
        add: { keyPackage: decode(kp, 'mls_key_package').keyPackage },
      })),
      pskProposal(m),
    ];
    const { newState, welcome, commit } = await mls.createCommit(
      { state: m.state, pskIndex: pskIndex(m), cipherSuite: m.cs },
      {
        extraProposals,
        ratchetTreeExtension: true,
        authenticatedData: unhex(aad),
        wireAsPublicMessage: publicMessage,
      },
    );
    m.next = newState;
    return {
      commit: encode(commit),
      welcome: welcome ? encode({ wireformat: 'mls_welcome', welcome }) : '',
    };
  },

  /** Takes the commit that was made last as the one that counts. */
  async merge(m) {
    m.state = m.next;
    m.next = undefined;
  },

  async process(m, { commit }) {
    const { privateMessage } = decode(commit, 'mls_private_message');
    const out = await mls.processPrivateMessage(m.state, privateMessage, pskIndex(m), m.cs);
    m.state = out.newState;
    return m.state.groupActiveState.kind === 'removedFromGroup';
  },

  async seal(m, { aad, plaintext }) {
    const { newState, privateMessage } = await mls.createApplicationMessage(
      m.state,
      unhex(plaintext),
      m.cs,
      unhex(aad),
    );
    m.state = newState;
    return encode({ wireformat: 'mls_private_message', privateMessage });
  },

  async open(m, { message }) {
    const { privateMessage } = decode(message, 'mls_private_message');
    const out = await mls.processPrivateMessage(m.state, privateMessage, pskIndex(m), m.cs);
    if (out.kind !== 'applicationMessage') throw new Error('not an application message');
    m.state = out.newState;
    return { aad: hex(privateMessage.authenticatedData), plaintext: hex(out.message) };
  },

  async state(m, { label, context, length }) {
    const { groupContext, keySchedule, privatePath } = m.state;
    return {
      epoch: Number(groupContext.epoch),
      leaf: privatePath.leafIndex,
      authenticator: hex(keySchedule.epochAuthenticator),
      treeHash: hex(groupContext.treeHash),
      exported: hex(
        await mls.mlsExporter(keySchedule.exporterSecret, label, unhex(context), length, m.cs),
      ),
    };
  },

  /** DeriveKeyPair of the suite: the public key. */
  async derive({ suite, ikm }) {
    const cs = await mls.getCiphersuiteImpl(
      mls.getCiphersuiteFromName(suiteNames[suite]),
      mls.nobleCryptoProvider,
    );
    const { publicKey } = await cs.hpke.deriveKeyPair(unhex(ikm));
    return hex(await cs.hpke.exportPublicKey(publicKey));
  },
};

async function answer(line) {
  try {
    const { call, ...request } = JSON.parse(line);
    if (call === 'member' || call === 'derive') return { ok: await calls[call](request) };
    const m = members.get(request.who);
    if (!m) throw new Error('nobody of that name');
    return { ok: (await calls[call](m, request)) ?? null };
  } catch (error) {
    return { error: `${error?.name}: ${error?.message}` };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
