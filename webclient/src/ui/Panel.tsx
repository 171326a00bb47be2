import { For, onMount, Show, type JSX } from 'solid-js';
import { Dynamic } from 'solid-js/web';
import { isLeaving, joining, members, micOn } from '../call/select';
import type { CallState } from '../call/state';
import { Close, Key, MicOff, ShieldAlert } from './icons';
import { createMark, createNumbers } from './call-model';
import { initials } from './name';
import { Namesake } from './Namesake';
import { comingIn, keyReasons, people } from './words';

interface PanelProps {
  state: CallState;
  ownMuted: boolean;
  onClose: () => void;
  onCompare: () => void;
}

/** Who is here, how the encryption stands, and what the server sees. */
export function Panel(props: PanelProps): JSX.Element {
  let panel!: HTMLElement;
  onMount(() => panel.focus());
  return (
    <aside
      ref={panel}
      tabIndex={-1}
      class="panel"
      aria-label="People and encryption"
      onKeyDown={(event) => {
        if (event.key === 'Escape') props.onClose();
      }}
    >
      <header>
        <h2>{people(members(props.state).length)} in this meeting</h2>
        <button type="button" class="close" aria-label="Close" onClick={() => props.onClose()}>
          <Close class="icon" />
        </button>
      </header>
      <Verdict state={props.state} />
      <Persons state={props.state} ownMuted={props.ownMuted} />
      <button type="button" class="button" onClick={() => props.onCompare()}>
        Compare numbers
      </button>
      <div class="block">
        <h2>What the server sees</h2>
        <ul class="facts">
          <li>How many are here, from which addresses, when, and for how long.</li>
          <li>Who sends a picture or a voice at which moment, and how large it is.</li>
          <li>Not a word, not a picture, not a name, and not the key.</li>
        </ul>
      </div>
    </aside>
  );
}

function Verdict(props: { state: CallState }): JSX.Element {
  const mark = createMark(() => props.state);
  return (
    <div class="verdict" classList={{ broken: mark().mark === 'broken' }} role="status">
      <Dynamic component={mark().mark === 'broken' ? ShieldAlert : Key} class="icon" />
      <h3>{keyReasons[mark().why].title}</h3>
      <p class="small">{keyReasons[mark().why].text}</p>
    </div>
  );
}

function Persons(props: { state: CallState; ownMuted: boolean }): JSX.Element {
  const muted = (pid: string): boolean =>
    pid === props.state.pid
      ? props.ownMuted
      : !isLeaving(props.state, pid) && !micOn(props.state, pid);
  const numbers = createNumbers(() => props.state);
  const arriving = (): number => joining(props.state).length;
  return (
    <ul class="persons" aria-label="People">
      <For each={members(props.state)}>
        {(member) => (
          <li>
            <span class="dot" aria-hidden="true">
              {initials(member.name)}
            </span>
            <span class="name" dir="auto">
              {member.name} <Namesake number={numbers().get(member.pid)} />
            </span>
            <Show when={member.pid === props.state.pid}>
              <span class="small soft">you</span>
            </Show>
            <Show when={isLeaving(props.state, member.pid)}>
              <span class="small soft">leaving</span>
            </Show>
            <Show when={muted(member.pid)}>
              <span role="img" aria-label="Muted" title="Muted">
                <MicOff class="icon" />
              </span>
            </Show>
          </li>
        )}
      </For>
      <Show when={arriving() > 0}>
        <li class="small soft">
          {comingIn(arriving())}. Nobody has a name before they are let in.
        </li>
      </Show>
    </ul>
  );
}
