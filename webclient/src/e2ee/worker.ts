// The worker that holds all keys. Messages from the page come in, frames pass through, and what
// the Go core has to say goes out. Any error that is not one frame's is the end: no frame passes
// afterwards.

import { Audience } from './audience';
import { Core } from './core';
import type { FromWorker, ToWorker, TransformOptions } from './messages';
import { Ring } from './ring';
import { type Shared, Transform } from './transform';
import { E2EEError, type EncodedFrame, type Epoch, type Member } from './types';
import type { Input, Output } from './wire';

interface TransformEvent {
  transformer: {
    readable: ReadableStream<EncodedFrame>;
    writable: WritableStream<EncodedFrame>;
    options: TransformOptions;
    generateKeyFrame?(): Promise<unknown>; // not in Chromium
  };
}

declare const self: {
  onmessage: (event: MessageEvent<ToWorker>) => void;
  onrtctransform: (event: TransformEvent) => void;
  onunhandledrejection: (event: { reason: unknown }) => void;
  postMessage(message: FromWorker): void;
};

/** How often counts are told, in milliseconds. */
const tellEvery = 500;

let core: Core | undefined;
let tick: ReturnType<typeof setTimeout> | undefined;

const rosters = new Map<string, Map<number, string>>();
const nameOf = (epoch: Epoch): string => `${epoch.generation}.${epoch.number}`;

const ring = new Ring((kid) => core?.keyFor(kid) ?? 'missing_key');
const transforms = new Map<number, Transform>();
/** How to ask each video encoder for a key frame. */
const keyFrames = new Map<number, () => void>();
const audience = new Audience();
const shared: Shared = {
  ring,
  early: 0,
  running: true,
  pidOf: ({ epoch, leaf }) => rosters.get(nameOf(epoch))?.get(leaf),
  report: (report) => tell({ type: 'frames', report }),
  wantCodecs: (id) => tell({ type: 'codecs-wanted', id }),
  fail,
};

function tell(message: FromWorker): void {
  self.postMessage(message);
}

function fail(error: unknown): void {
  if (!shared.running) return;
  shared.running = false;
  ring.erase();
  clearTimeout(tick);
  const { code, message } =
    error instanceof E2EEError
      ? error
      : { code: 'internal', message: 'The encryption worker failed.' };
  tell({ type: 'fatal', fatal: { code, message } });
}

function receive(message: ToWorker): void {
  switch (message.type) {
    case 'configure':
      return configure(message);
    case 'log-opened':
    case 'posted':
      return step(message);
    case 'log-entries':
      for (const entry of message.entries) step({ type: 'log-entry', entry });
      return;
    case 'streams':
      return attach(message);
    case 'codecs':
      return transforms.get(message.id)?.setCodecs(message.codecs);
    case 'count':
      return count(message.id);
  }
}

function configure({ link, pid, name }: { link: string; pid: string; name: string }): void {
  try {
    core?.create({ link, pid, name });
  } catch (error) {
    if (!(error instanceof E2EEError) || error.code === 'core_failed') throw error;
    tell({ type: 'refused-config', code: error.code, message: error.message });
    return;
  }
  tell({ type: 'configured' });
  drain();
}

function step(input: Input): void {
  core?.step(Date.now(), input);
  drain();
}

/** Does what the core wants done, and sets the timer for what it wants next. */
function drain(): void {
  if (!core) return;
  for (let output = core.poll(); output; output = core.poll()) act(output);
  clearTimeout(tick);
  const at = core.deadline();
  if (at > 0) tick = setTimeout(() => guard(() => step({ type: 'tick' })), at - Date.now());
}

function act(output: Output): void {
  switch (output.type) {
    case 'post':
      return tell({ type: 'post', post: output.post });
    case 'epoch-started':
      return startEpoch(output);
    case 'send-epoch':
      return sendWith(output.epoch);
    case 'epoch-ended':
      rosters.delete(nameOf(output.epoch));
      return ring.end(output.epoch);
    case 'status': {
      const { state, code } = output;
      return tell({ type: 'status', status: { state, ...(code === undefined ? {} : { code }) } });
    }
    case 'entry-refused': {
      const { position, pid, code } = output;
      return tell({ type: 'refused', refused: { position, pid, code } });
    }
  }
}

function startEpoch(started: Output & { type: 'epoch-started' }): void {
  const { epoch, own, members, removed, safetyNumber } = started;
  const leaves = members.map(({ leaf }: Member) => leaf);
  if (!ring.start(epoch, own, leaves, removed)) {
    throw new E2EEError('internal', 'An epoch could not be started.');
  }
  audience.remove(removed);
  rosters.set(nameOf(epoch), new Map(members.map(({ leaf, pid }) => [leaf, pid])));
  tell({ type: 'epoch', epoch: { epoch, own, members, safetyNumber } });
  for (const transform of transforms.values()) void transform.retry();
}

function sendWith(epoch: Epoch): void {
  ring.sendWith(epoch).then((isSending) => {
    if (!isSending || !shared.running) return;
    tell({ type: 'sending', epoch });
    if (audience.become(rosters.get(nameOf(epoch)) ?? new Map()))
      for (const ask of keyFrames.values()) ask();
  }, fail);
}

function attach(transformer: TransformEvent['transformer']): void {
  const { options, readable, writable } = transformer;
  const transform = new Transform(options, shared);
  transforms.set(options.id, transform);
  if (options.direction === 'send' && options.kind === 'video') {
    keyFrames.set(options.id, () => askKeyFrame(transformer));
  }
  void transform.run(readable, writable).then(() => detach(options.id));
  tell({ type: 'attached', id: options.id });
}

/** Answers after all tasks that were there before the question: frames come as tasks, too. */
function count(id: number): void {
  setTimeout(() => {
    const given = transforms.get(id)?.given;
    tell({ type: 'counted', id, ...(given ? { given } : {}) });
  });
}

/** Asks here where a browser can, else through the page. */
function askKeyFrame(transformer: TransformEvent['transformer']): void {
  if (!transformer.generateKeyFrame) {
    tell({ type: 'key-frame-wanted', id: transformer.options.id });
    return;
  }
  transformer.generateKeyFrame().catch(() => undefined); // nothing is sent, or the sender is gone
}

function detach(id: number): void {
  transforms.delete(id);
  keyFrames.delete(id);
  tell({ type: 'detached', id });
}

/** Runs what the worker was asked for. What it throws ends all. */
function guard(task: () => void): void {
  if (!shared.running) return;
  try {
    task();
  } catch (error) {
    fail(error);
  }
}

self.onmessage = ({ data }) => guard(() => receive(data));
self.onrtctransform = ({ transformer }) => guard(() => attach(transformer));
self.onunhandledrejection = ({ reason }) => fail(reason);
setInterval(() => {
  for (const transform of transforms.values()) transform.tell();
}, tellEvery);

Core.load(() => fail(new E2EEError('core_failed', 'The encryption core has ended.'))).then(
  (loaded) => {
    core = loaded;
    tell({ type: 'loaded' });
  },
  () => fail(new E2EEError('core_failed', 'The encryption core did not load.')),
);
