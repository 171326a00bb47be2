import type { Kind } from './ports';

/** Why a device gives nothing. Each has its own words on the page. */
export type DeviceFault = 'denied' | 'missing' | 'busy' | 'insecure' | 'failed';

/** A microphone or camera that can be chosen. */
export interface Device {
  id: string;
  kind: Kind;
  label: string;
}

/** Opens one device; the one with this id if it is there, else another. */
export async function openDevice(kind: Kind, id?: string): Promise<MediaStreamTrack | DeviceFault> {
  const devices = mediaDevices();
  if (!devices) return 'insecure';
  try {
    const stream = await devices.getUserMedia(constraints(kind, id));
    return stream.getTracks()[0] ?? 'missing';
  } catch (error) {
    return faultOf(error);
  }
}

/** What can be chosen. Labels are empty until the user has allowed a device of that kind. */
export async function listDevices(): Promise<Device[]> {
  const all = (await mediaDevices()?.enumerateDevices()) ?? [];
  return all.flatMap(({ kind, deviceId, label }) => {
    if (deviceId === '' || kind === 'audiooutput') return [];
    return [{ id: deviceId, kind: kind === 'audioinput' ? 'audio' : 'video', label } as const];
  });
}

/** Calls handler when a device is plugged in or out, until the returned function is called. */
export function onDeviceChange(handler: () => void): () => void {
  const devices = mediaDevices();
  devices?.addEventListener('devicechange', handler);
  return () => devices?.removeEventListener('devicechange', handler);
}

/** Why a device that was open gives nothing any more. */
export async function whyEnded(kind: Kind): Promise<DeviceFault> {
  try {
    const name = (kind === 'audio' ? 'microphone' : 'camera') as PermissionName;
    const { state } = await navigator.permissions.query({ name });
    return state === 'granted' ? 'missing' : 'denied';
  } catch {
    return 'missing'; // a browser that does not tell
  }
}

function constraints(kind: Kind, id: string | undefined): MediaStreamConstraints {
  const device = id ? { deviceId: { ideal: id } } : {};
  return kind === 'audio'
    ? {
        audio: { ...device, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      }
    : {
        video: {
          ...device,
          width: { ideal: 1280 },
          height: { ideal: 720 },
          frameRate: { ideal: 30, max: 30 },
        },
      };
}

export function faultOf(error: unknown): DeviceFault {
  const name = error instanceof DOMException ? error.name : '';
  switch (name) {
    case 'NotAllowedError':
      return 'denied';
    case 'NotFoundError':
    case 'OverconstrainedError':
      return 'missing';
    case 'NotReadableError':
    case 'AbortError':
      return 'busy';
    case 'SecurityError':
      return 'insecure';
    default:
      return 'failed';
  }
}

/** Undefined outside a secure context, whatever the types say. */
function mediaDevices(): MediaDevices | undefined {
  const { mediaDevices }: { mediaDevices?: MediaDevices } = navigator;
  return mediaDevices;
}
