import { Show, type JSX } from 'solid-js';
import { Dynamic } from 'solid-js/web';
import type { Picture } from '../call/select';
import { Hourglass, Lock, MicOff, ShieldAlert } from './icons';
import { initials } from './name';
import { Namesake } from './Namesake';
import { TrackVideo } from './TrackVideo';
import { absences, lockedPictures, type Absence } from './words';

export interface TileProps {
  name: string;
  /** Which one of several whose names look the same. */
  namesake: number | undefined;
  own: boolean;
  picture: Picture;
  /** The picture's track while it is live. */
  track: MediaStreamTrack | undefined;
  muted: boolean;
  absence: Absence | undefined;
  key: 'open' | 'waiting' | 'broken';
  /** Speaking marks are set on the element itself, ten times a second. */
  ref: (element: HTMLElement) => void;
}

const keys = {
  open: { icon: Lock, text: 'Encrypted, and opened on this device' },
  waiting: { icon: Hourglass, text: 'Nothing has been opened with their key yet' },
  broken: { icon: ShieldAlert, text: 'What comes from them cannot be opened' },
};
const ownKeys = {
  ...keys,
  open: { icon: Lock, text: 'Encrypted before it leaves this device' },
  waiting: { icon: Hourglass, text: 'Nothing is being sent' },
};

/** One participant: the picture or why there is none, the name, and the state beside it. */
export function Tile(props: TileProps): JSX.Element {
  return (
    <section class="tile" classList={{ own: props.own }} aria-label={props.name} ref={props.ref}>
      <Show when={props.track} fallback={<Face {...props} />}>
        {(track) => <TrackVideo track={track()} />}
      </Show>
      <Show when={props.picture.kind === 'locked' && props.track}>
        <div class="face over">{pictureText(props.picture)}</div>
      </Show>
      <Plate {...props} />
    </section>
  );
}

function Face(props: TileProps): JSX.Element {
  const text = (): string => (props.absence ? absences[props.absence] : pictureText(props.picture));
  return (
    <div class="face">
      <span class="avatar" aria-hidden="true">
        {initials(props.name)}
      </span>
      <Show when={text()}>
        <span>{text()}</span>
      </Show>
    </div>
  );
}

function pictureText(picture: Picture): string {
  switch (picture.kind) {
    case 'off':
    case 'live':
      return '';
    case 'coming':
      return 'The picture is coming';
    case 'locked':
      return lockedPictures[picture.why];
  }
}

function Plate(props: TileProps): JSX.Element {
  const key = () => (props.own ? ownKeys : keys)[props.key];
  return (
    <div class="plate">
      <Show when={props.muted}>
        <span class="state muted" role="img" aria-label="Muted" title="Muted">
          <MicOff class="icon" />
        </span>
      </Show>
      <span class="name" dir="auto">
        {props.name}
      </span>
      <Namesake number={props.namesake} />
      <span class={`state ${props.key}`} role="img" aria-label={key().text} title={key().text}>
        <Dynamic component={key().icon} class="icon" />
      </span>
    </div>
  );
}
