import type { JSX } from 'solid-js';
import { Dynamic } from 'solid-js/web';
import type { LocalMedia, LocalState } from '../call/local';
import type { Kind } from '../call/ports';
import { Mic, MicOff, Video, VideoOff } from './icons';

interface MediaButtonsProps {
  local: LocalMedia;
  state: LocalState;
}

const looks = {
  audio: {
    on: { icon: Mic, label: 'Mute microphone' },
    off: { icon: MicOff, label: 'Unmute microphone' },
    opening: 'The microphone is starting',
  },
  video: {
    on: { icon: Video, label: 'Turn camera off' },
    off: { icon: VideoOff, label: 'Turn camera on' },
    opening: 'The camera is starting',
  },
};

/** Our microphone and camera. The names say what a press does. */
export function MediaButtons(props: MediaButtonsProps): JSX.Element {
  return (
    <>
      <DeviceButton {...props} kind="audio" />
      <DeviceButton {...props} kind="video" />
    </>
  );
}

function DeviceButton(props: MediaButtonsProps & { kind: Kind }): JSX.Element {
  const device = () => props.state[props.kind];
  const look = () => looks[props.kind][device().on ? 'on' : 'off'];
  return (
    <button
      type="button"
      class="control"
      classList={{ off: !device().on, opening: device().opening }}
      aria-label={look().label}
      aria-busy={device().opening}
      title={device().opening ? looks[props.kind].opening : look().label}
      onClick={() => void props.local.turn(props.kind, !device().on)}
    >
      <Dynamic component={look().icon} class="icon" />
    </button>
  );
}
