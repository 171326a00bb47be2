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
        classList={{ off: !props.state.audio.on, opening: props.state.audio.opening }}
        aria-label={micLabel()}
        aria-busy={props.state.audio.opening}
        title={props.state.audio.opening ? 'The microphone is starting' : micLabel()}
        onClick={() => void props.local.turn('audio', !props.state.audio.on)}
      >
        <Show when={props.state.audio.on} fallback={<MicOff class="icon" />}>
          <Mic class="icon" />
        </Show>
      </button>
      <button
        type="button"
        class="control"
        classList={{ off: !props.state.video.on, opening: props.state.video.opening }}
        aria-label={cameraLabel()}
        aria-busy={props.state.video.opening}
        title={props.state.video.opening ? 'The camera is starting' : cameraLabel()}
        onClick={() => void props.local.turn('video', !props.state.video.on)}
      >
        <Show when={props.state.video.on} fallback={<VideoOff class="icon" />}>
          <Video class="icon" />
        </Show>
      </button>
    </>
  );
}
