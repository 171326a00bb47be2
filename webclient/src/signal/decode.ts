import type { ServerMessage } from './generated';

/** What JSON can hold. */
type Json = null | boolean | number | string | Json[] | { [key: string]: Json | undefined };
type Fields = Record<string, Json | undefined>;

/**
 * Reads one text frame of the server. Undefined is a frame that is not for us: of an unknown type,
 * or malformed. The server is not trusted: whatever passes has the shape that its type says.
 */
export function decodeServerMessage(text: string): ServerMessage | undefined {
  const envelope = fields(parse(text));
  if (!envelope) return undefined;
  const { type, body = {}, re } = envelope;
  if (re !== undefined && typeof re !== 'number') return undefined;
  const content = fields(body);
  if (typeof type !== 'string' || !content || !isKnown(type) || !shapes[type](content))
    return undefined;
  const message = { type, body: content, ...(re === undefined ? {} : { re }) };
  return message as unknown as ServerMessage; // its shape was just checked
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

function fields(value: Json | undefined): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
}

type Known = ServerMessage['type'];

// Lists that are empty may be left out; they are put in, so that nobody has to ask.
const shapes: Record<Known, (body: Fields) => boolean> = {
  ready: (b) =>
    hasStrings(b, 'token', 'logId', 'headHash') &&
    hasNumbers(b, 'head', 'now', 'maxMessage') &&
    typeof b['resumed'] === 'boolean' &&
    every((b['here'] ??= []), (pid) => typeof pid === 'string') &&
    every((b['iceServers'] ??= []), isICEServer),
  log: (b) => every(b['entries'], isEntry),
  participant: isParticipant,
  participants: (b) =>
    every(b['participants'], (value) => {
      const participant = fields(value);
      return participant !== undefined && isParticipant(participant);
    }),
  gone: (b) => typeof b['pid'] === 'string',
  message: (b) => typeof b['data'] === 'string',
  appended: (b) => typeof b['position'] === 'number',
  answer: (b) => typeof b['connection'] === 'number' && typeof b['sdp'] === 'string',
  slots: (b) => hasNumbers(b, 'connection') && every((b['slots'] ??= []), isSlot),
  demand: (b) => hasNumbers(b, 'connection') && every((b['sources'] ??= []), isDemand),
  'media-down': (b) => typeof b['connection'] === 'number' && typeof b['code'] === 'string',
  error: (b) => typeof b['code'] === 'string',
};

function isParticipant(b: Fields): boolean {
  return hasStrings(b, 'pid') && every((b['publications'] ??= []), isPublication);
}

function isDemand(value: Json): boolean {
  const demand = fields(value);
  return (
    demand !== undefined &&
    hasStrings(demand, 'source') &&
    typeof demand['watched'] === 'boolean' &&
    every((demand['rids'] ??= []), (rid) => typeof rid === 'string')
  );
}

/** What an RTCPeerConnection would refuse is refused here. */
function isICEServer(value: Json): boolean {
  const server = fields(value);
  return (
    server !== undefined &&
    hasStrings(server, 'username', 'credential') &&
    every(server['urls'], (url) => typeof url === 'string' && /^turns?:\S+$/.test(url))
  );
}

function isKnown(type: string): type is Known {
  return Object.hasOwn(shapes, type);
}

function hasStrings(body: Fields, ...names: string[]): boolean {
  return names.every((name) => typeof body[name] === 'string');
}

function hasNumbers(body: Fields, ...names: string[]): boolean {
  return names.every((name) => typeof body[name] === 'number');
}

function every(value: Json | undefined, check: (item: Json) => boolean): boolean {
  return Array.isArray(value) && value.every(check);
}

function isEntry(value: Json): boolean {
  const b = fields(value);
  return b !== undefined && hasStrings(b, 'kind', 'pid') && hasNumbers(b, 'position', 'time');
}

function isPublication(value: Json): boolean {
  const b = fields(value);
  return b !== undefined && hasStrings(b, 'source') && typeof b['muted'] === 'boolean';
}

function isSlot(value: Json): boolean {
  const b = fields(value);
  return b !== undefined && hasStrings(b, 'mid', 'pid', 'source');
}
