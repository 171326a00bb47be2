import { Show, type JSX } from 'solid-js';
import type { LocalMedia, LocalState } from '../call/local';
import { Mic, MicOff, Video, VideoOff } from './icons';

/** Our microphone and camera. The names say what a press does. */
export function MediaButtons(props: { local: LocalMedia; state: LocalState }): JSX.Element {
  const micLabel = (): string => (props.state.audio.on ? 'Mute microphone' : 'Unmute microphone');
  const cameraLabel = (): string => (props.state.video.on ? 'Turn camera off' : 'Turn camera on');
  return (
    <>
      <button
        type="button"
        class="control"
        classList={{ off: !props.state.audio.on }}
        aria-label={micLabel()}
        title={micLabel()}
        onClick={() => void props.local.turn('audio', !props.state.audio.on)}
      >
        <Show when={props.state.audio.on} fallback={<MicOff class="icon" />}>
          <Mic class="icon" />
        </Show>
      </button>
      <button
        type="button"
        class="control"
        classList={{ off: !props.state.video.on }}
        aria-label={cameraLabel()}
        title={cameraLabel()}
        onClick={() => void props.local.turn('video', !props.state.video.on)}
      >
        <Show when={props.state.video.on} fallback={<VideoOff class="icon" />}>
          <Video class="icon" />
        </Show>
      </button>
    </>
  );
}
