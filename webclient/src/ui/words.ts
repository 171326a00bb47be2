import type { VideoCodec } from '../call/codecs';
import type { DeviceFault } from '../call/devices';
import type { LinkFault } from '../call/link';
import type { KeyReason, Trouble } from '../call/select';
import type { EndReason } from '../call/state';

// All that the page says, in one place: plain, short, and with what to do.

export interface Text {
  title: string;
  text: string;
}

export const linkFaults: Record<LinkFault, Text> = {
  'not-a-link': {
    title: 'This is not a meeting link',
    text: 'A meeting link has the form https://…/r/name#key. Ask for the link again and open it as it is.',
  },
  'bad-room': {
    title: 'This meeting link is damaged',
    text: 'The name of the meeting has characters that no meeting has. Ask for the link again.',
  },
  'no-secret': {
    title: 'This link lacks its key',
    text: 'The part after the # is missing. It holds the key of the meeting, and without it nobody can be let in. Ask for the whole link: some apps cut it off.',
  },
  'bad-secret': {
    title: 'The key in this link is damaged',
    text: 'The part after the # is incomplete or was changed on its way. Ask for the link again and copy all of it.',
  },
  'newer-format': {
    title: 'This link needs a newer Conclave',
    text: 'It was made by a version that this server does not have yet. Ask whoever runs the server to update it.',
  },
};

export const deviceFaults: Record<'audio' | 'video', Record<DeviceFault, string>> = {
  audio: {
    denied:
      'The browser does not let this page use the microphone. Allow it beside the address bar, then turn it on again.',
    missing: 'No microphone was found. Plug one in, or join and just listen.',
    busy: 'Another app is using the microphone. Close it there, then turn it on again.',
    insecure: 'Browsers give a microphone to https pages only. Open this address with https.',
    failed: 'The microphone did not start. Choose another one, or turn it on again.',
  },
  video: {
    denied:
      'The browser does not let this page use the camera. Allow it beside the address bar, then turn it on again.',
    missing: 'No camera was found. Plug one in, or join without a picture.',
    busy: 'Another app is using the camera. Close it there, then turn it on again.',
    insecure: 'Browsers give a camera to https pages only. Open this address with https.',
    failed: 'The camera did not start. Choose another one, or turn it on again.',
  },
};

export const codecs: Record<VideoCodec, Text> = {
  vp8: {
    title: 'VP8 (recommended)',
    text: 'Sent in three sizes. Every browser and device shows it, and it is light to make.',
  },
  vp9: {
    title: 'VP9',
    text: 'A sharper picture over the same line, for more work on this device. Every browser shows it.',
  },
};

export const keyReasons: Record<KeyReason, Text> = {
  'all-well': {
    title: 'The door is closed',
    text: 'Everyone in the meeting holds the same key, and this device opens everything it shows.',
  },
  waiting: {
    title: 'Waiting to be let in',
    text: 'Another device in the meeting is about to hand this one the key. Nothing is sent before.',
  },
  rejoining: {
    title: 'Coming back in',
    text: 'This device lost its place and is being let in again with a fresh key.',
  },
  joining: {
    title: 'Someone is coming in',
    text: 'The key is being changed so that they can take part from now on, and see nothing earlier.',
  },
  leaving: {
    title: 'Someone has left',
    text: 'The key is being changed so that they can open nothing from now on.',
  },
  changing: {
    title: 'The key is turning',
    text: 'Everyone is moving to a new key. This takes a second.',
  },
  'keys-late': {
    title: 'A key is on its way',
    text: 'Something arrives that this device cannot open yet. It is not shown until it can.',
  },
  'log-fork': {
    title: 'Members see different meetings',
    text: 'The server has told others another story of this meeting than it told this device. Leave, and compare with them another way.',
  },
  'decrypt-failed': {
    title: 'Something cannot be opened',
    text: 'A picture or voice arrives that was changed on its way or sealed with a wrong key. It is not shown. If it stays, leave and join again.',
  },
  unencrypted: {
    title: 'Something is not encrypted',
    text: 'A picture or voice arrives without encryption. It is not shown. Do not trust this server until you know why.',
  },
  stalled: {
    title: 'The encryption does not answer',
    text: 'Until it does, this device sends no picture and no voice, and opens none. It may be too busy: close other pages and apps. If that does not help, reload the page and join again.',
  },
  ended: {
    title: 'This device is no longer in the group',
    text: 'It holds no key any more. Leave and join again.',
  },
};

export const lockedPictures: Record<Trouble, string> = {
  missing_key: 'The key to this picture is on its way',
  decrypt_failed: 'This picture cannot be decrypted',
  unencrypted_frame: 'Sent without encryption, so not shown',
  codec_unsupported: 'Sent in a form that this browser cannot open',
};

/** Why nothing comes from a member. */
export type Absence = 'away' | 'leaving';

export const absences: Record<Absence, string> = {
  away: 'Connection lost, coming back',
  leaving: 'Leaving',
};

export const endings: Record<EndReason, Text> = {
  left: { title: 'You left the meeting', text: 'Its keys are gone from this device.' },
  replaced: {
    title: 'You are in this meeting somewhere else',
    text: 'Another window took over this place. You can join again from here.',
  },
  room_full: {
    title: 'The meeting is full',
    text: 'No place is left. Try again when someone has gone.',
  },
  server_full: {
    title: 'The server is full',
    text: 'It carries as much as it can. Try again later.',
  },
  refused: {
    title: 'The server did not let you in',
    text: 'It refused this device several times. Wait a moment and join again.',
  },
  session_ended: {
    title: 'This device could not stay in the meeting',
    text: 'Its keys no longer fit those of the others. Join again to get fresh ones.',
  },
  worker_failed: {
    title: 'The encryption stopped',
    text: 'Nothing was sent without it. Reload the page and join again; if that does not help, update the browser.',
  },
  sent_in_clear: {
    title: 'This browser left out the encryption',
    text: 'It sent pictures or sound past it, for a few seconds at most, so the server may have seen or heard that. Sending was stopped. Update the browser, or use another one, before you join again.',
  },
  internal: {
    title: 'The meeting ended by a mistake of ours',
    text: 'Join again. If it happens once more, tell whoever runs this server.',
  },
};

/** Why this browser cannot take part. */
export type Lack = 'insecure' | 'transforms' | 'webrtc' | 'wasm';

export const lacks: Record<Lack, Text> = {
  insecure: {
    title: 'This page needs https',
    text: 'Browsers keep cameras and encryption from pages that came over plain http. Open the same address with https, or ask whoever runs this server to set it up.',
  },
  transforms: {
    title: 'This browser cannot encrypt meetings',
    text: 'It has no way to encrypt pictures and voices before they leave the device, and Conclave sends none without that. Chrome or Edge 117, Firefox 117 and Safari 15.4 and later can.',
  },
  webrtc: {
    title: 'This browser cannot hold calls',
    text: 'It has no WebRTC, or it is switched off. Use a current Chrome, Edge, Firefox or Safari.',
  },
  wasm: {
    title: 'This browser cannot run the encryption',
    text: 'It has no WebAssembly, or it is switched off, as some lockdown modes do. Allow it for this page or use another browser.',
  },
};

/** How many people, in words. */
export function people(count: number): string {
  return count === 1 ? '1 person' : `${count} people`;
}

export function comingIn(count: number): string {
  return count === 1 ? 'Someone is coming in' : `${count} people are coming in`;
}

/** Beside a name that others here have too. */
export function namesakeText(number: number): string {
  return `Number ${number} of those with this name`;
}

/** While we wait to be let in. We know names only if we were in before. */
export function waitingFor(othersHere: number, known: string | undefined): string {
  if (known !== undefined) return `Waiting for ${known}’s device to let you back in`;
  if (othersHere === 0) return 'Opening the meeting';
  return 'Waiting for a device in the meeting to let you in';
}
