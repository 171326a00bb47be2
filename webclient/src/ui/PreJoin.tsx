import {
  createEffect,
  createSignal,
  For,
  onCleanup,
  onMount,
  Show,
  type Accessor,
  type JSX,
} from 'solid-js';
import { LevelMeters } from '../call/audio';
import { listDevices, onDeviceChange, type Device } from '../call/devices';
import type { LocalMedia, LocalState } from '../call/local';
import { CodecChoice } from './CodecChoice';
import { VideoOff, Warning } from './icons';
import { MediaButtons } from './MediaButtons';
import { cleanName, rememberedName, rememberName } from './name';
import { Page } from './Page';
import { TrackVideo } from './TrackVideo';
import { deviceFaults } from './words';

interface PreJoinProps {
  room: string;
  local: LocalMedia;
  localState: Accessor<LocalState>;
  onJoin: (name: string) => void;
}

/** Before the call: how we look and sound, with which devices, under which name. */
export function PreJoin(props: PreJoinProps): JSX.Element {
  onMount(() => {
    void props.local.turn('audio', true);
    void props.local.turn('video', true);
  });
  return (
    <Page>
      <div class="prejoin">
        <Preview local={props.local} state={props.localState()} />
        <JoinForm {...props} />
      </div>
    </Page>
  );
}

function Preview(props: { local: LocalMedia; state: LocalState }): JSX.Element {
  return (
    <div class="preview">
      <Show
        when={props.state.video.on && props.state.video.track}
        fallback={
          <div class="empty">
            <VideoOff class="icon" />
            <span>{cameraText(props.state)}</span>
          </div>
        }
      >
        {(track) => <TrackVideo track={track()} />}
      </Show>
      <div class="bar">
        <MediaButtons local={props.local} state={props.state} />
      </div>
    </div>
  );
}

function cameraText({ video }: LocalState): string {
  if (video.fault) return deviceFaults.video[video.fault];
  return video.opening ? 'The camera is starting' : 'Your camera is off';
}

function JoinForm(props: PreJoinProps): JSX.Element {
  const [missing, setMissing] = createSignal(false);
  let field!: HTMLInputElement;
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const name = cleanName(field.value);
    setMissing(name === undefined);
    if (name === undefined) {
      field.focus();
      return;
    }
    rememberName(name);
    props.onJoin(name);
  };
  return (
    <form onSubmit={submit} noValidate>
      <div class="lead">
        <h1>Ready to go in?</h1>
        <p class="soft">Meeting {props.room}</p>
      </div>
      <div class="field">
        <label for="name">Your name</label>
        <input
          id="name"
          ref={field}
          type="text"
          value={rememberedName()}
          autocomplete="name"
          maxLength={60}
          dir="auto"
          aria-invalid={missing()}
          aria-describedby="name-error"
          onInput={() => setMissing(false)}
        />
        <p id="name-error" class="error" aria-live="polite">
          <Show when={missing()}>The others need a name to call you by.</Show>
        </p>
      </div>
      <DeviceChoice local={props.local} state={props.localState()} />
      <CodecChoice />
      <button type="submit" class="button primary">
        Join
      </button>
    </form>
  );
}

function DeviceChoice(props: { local: LocalMedia; state: LocalState }): JSX.Element {
  const [devices, setDevices] = createSignal<Device[]>([]);
  const refresh = (): void => void listDevices().then(setDevices);
  createEffect(() => {
    // Labels appear once the user has allowed a device.
    const { audio, video } = props.state;
    if (!audio.opening && !video.opening) refresh();
  });
  onCleanup(onDeviceChange(refresh));
  return (
    <>
      <DeviceSelect
        id="microphone"
        label="Microphone"
        devices={devices().filter((device) => device.kind === 'audio')}
        chosen={props.state.audio.track && props.local.chosen('audio')}
        onChoose={(id) => void props.local.choose('audio', id)}
      />
      <Show
        when={props.state.audio.fault}
        fallback={<Meter track={props.state.audio.on ? props.state.audio.track : undefined} />}
      >
        {(fault) => (
          <p class="note" role="status">
            <Warning class="icon" />
            {deviceFaults.audio[fault()]}
          </p>
        )}
      </Show>
      <DeviceSelect
        id="camera"
        label="Camera"
        devices={devices().filter((device) => device.kind === 'video')}
        chosen={props.state.video.track && props.local.chosen('video')}
        onChoose={(id) => void props.local.choose('video', id)}
      />
    </>
  );
}

interface DeviceSelectProps {
  id: string;
  label: string;
  devices: Device[];
  chosen: string | undefined;
  onChoose: (id: string) => void;
}

function DeviceSelect(props: DeviceSelectProps): JSX.Element {
  return (
    <Show when={props.devices.some((device) => device.label !== '')}>
      <div class="field">
        <label for={props.id}>{props.label}</label>
        <select id={props.id} onChange={(event) => props.onChoose(event.currentTarget.value)}>
          <For each={props.devices}>
            {(device) => (
              <option value={device.id} selected={device.id === props.chosen}>
                {device.label}
              </option>
            )}
          </For>
        </select>
      </div>
    </Show>
  );
}

/** How loud we are, so that a dead microphone is noticed before the others notice. */
function Meter(props: { track: MediaStreamTrack | undefined }): JSX.Element {
  const meters = new LevelMeters();
  let bar!: HTMLDivElement;
  createEffect(() => {
    if (props.track) meters.watch('own', props.track);
    else meters.unwatch('own');
    meters.resume();
  });
  const timer = setInterval(() => bar.style.setProperty('--level', `${meters.level('own')}`), 80);
  onCleanup(() => {
    clearInterval(timer);
    meters.close();
  });
  return (
    <div class="meter" aria-hidden="true">
      <span>{props.track ? 'You sound like this' : 'You are muted'}</span>
      <div class="track">
        <div class="fill" ref={bar} />
      </div>
    </div>
  );
}
