import { createSignal, onCleanup, Show, type JSX } from 'solid-js';
import type { LocalMedia, LocalState } from '../call/local';
import { Copy, Leave, People, Shield } from './icons';
import { MediaButtons } from './MediaButtons';

interface ControlsProps {
  href: string;
  local: LocalMedia;
  localState: LocalState;
  onLeave: () => void;
  onPeople: () => void;
  /** Whether the panel with the people is open. */
  panelOpen: boolean;
  onSafety: () => void;
  /** Whether there is a safety number already. */
  hasNumber: boolean;
}

/** The one bar at the bottom of the call. */
export function Controls(props: ControlsProps): JSX.Element {
  return (
    <div class="controls" role="group" aria-label="Controls">
      <MediaButtons local={props.local} state={props.localState} />
      <CopyLink href={props.href} />
      <button
        type="button"
        class="control"
        aria-label="People"
        title="People"
        aria-expanded={props.panelOpen}
        onClick={() => props.onPeople()}
      >
        <People class="icon" />
      </button>
      <button
        type="button"
        class="control"
        aria-label="Safety number"
        title={
          props.hasNumber ? 'Safety number' : 'Safety number: there is one once you are let in'
        }
        disabled={!props.hasNumber}
        onClick={() => props.onSafety()}
      >
        <Shield class="icon" />
      </button>
      <button
        type="button"
        class="control leave"
        aria-label="Leave"
        title="Leave"
        onClick={() => props.onLeave()}
      >
        <Leave class="icon" />
      </button>
    </div>
  );
}

const saidFor = 2_500; // ms

function CopyLink(props: { href: string }): JSX.Element {
  const [said, setSaid] = createSignal('');
  let timer: ReturnType<typeof setTimeout> | undefined;
  const say = (text: string): void => {
    setSaid(text);
    clearTimeout(timer);
    timer = setTimeout(() => setSaid(''), saidFor);
  };
  onCleanup(() => clearTimeout(timer));
  const copy = (): void => {
    navigator.clipboard.writeText(props.href).then(
      () => say('Link copied. Whoever has it can come in.'),
      () => say('The browser refused. Copy the link from the address bar.'),
    );
  };
  return (
    <>
      <button type="button" class="control" aria-label="Copy link" title="Copy link" onClick={copy}>
        <Copy class="icon" />
      </button>
      <div class="toasts" role="status">
        <Show when={said()}>
          <div class="toast">{said()}</div>
        </Show>
      </div>
    </>
  );
}
