import {
  createSignal,
  For,
  onCleanup,
  onMount,
  Show,
  untrack,
  type Accessor,
  type JSX,
} from 'solid-js';
import type { Call } from '../call/call';
import type { LocalDevice, LocalMedia, LocalState } from '../call/local';
import { onNetworkChange } from '../call/network';
import type { EpochStarted } from '../call/ports';
import { joining } from '../call/select';
import type { CallState } from '../call/state';
import {
  createCallModel,
  createMark,
  createToasts,
  statusLine,
  type CallModel,
} from './call-model';
import { Controls } from './Controls';
import { takeFocus } from './focus';
import { Close, Key, Warning } from './icons';
import { Panel } from './Panel';
import { SafetyNumber } from './SafetyNumber';
import { Sound } from './Sound';
import { Tiles } from './Tiles';
import { deviceFaults, keyReasons } from './words';

interface CallPageProps {
  call: Call;
  name: string;
  href: string;
  local: LocalMedia;
  localState: Accessor<LocalState>;
}

/** The call. */
export function CallPage(props: CallPageProps): JSX.Element {
  const { state, slots } = createCallModel(props.call);
  const [panel, togglePanel] = createPanel();
  const [shown, setShown] = createSignal<EpochStarted>();
  const resting = createResting();
  let main!: HTMLElement;
  const touched = (): void => props.call.retryNow();
  onMount(() => {
    takeFocus(main);
    window.addEventListener('pointerdown', touched);
  });
  onCleanup(onNetworkChange(() => props.call.networkBack()));
  onCleanup(() => {
    window.removeEventListener('pointerdown', touched);
  });
  return (
    <main ref={main} tabIndex={-1} class="call" classList={{ resting: resting() }}>
      <div class="stage">
        <Top state={state()} panelOpen={panel()} onKey={togglePanel} />
        <Tiles
          call={props.call}
          name={props.name}
          localState={props.localState}
          state={state}
          slots={slots}
        />
        <Controls
          href={props.href}
          local={props.local}
          localState={props.localState()}
          onLeave={() => props.call.leave()}
          onPeople={togglePanel}
          panelOpen={panel()}
          onSafety={() => setShown(state().epoch)}
          hasNumber={state().epoch !== undefined}
        />
        <Toasts state={state} />
        <DeviceTrouble state={props.localState()} />
      </div>
      <Show when={panel()}>
        <Panel
          state={state()}
          ownMuted={!props.localState().audio.on}
          onClose={togglePanel}
          onCompare={() => setShown(state().epoch)}
        />
      </Show>
      <SafetyNumber
        shown={shown()}
        came={namesBeyond(state().epoch, shown())}
        went={namesBeyond(shown(), state().epoch)}
        isPast={shown()?.safetyNumber !== state().epoch?.safetyNumber}
        onRefresh={() => setShown(state().epoch)}
        onClose={() => setShown(undefined)}
      />
      <Sound slots={slots()} />
    </main>
  );
}

/**
 * Why our microphone or camera gives nothing. What was so before the call was said before it, and
 * what was read can be put away.
 */
function DeviceTrouble(props: { state: LocalState }): JSX.Element {
  const kinds = ['audio', 'video'] as const;
  const current = (): LocalDevice[] => kinds.map((kind) => props.state[kind]);
  const [read, setRead] = createSignal<LocalDevice[]>(untrack(current));
  const lines = (): string[] =>
    kinds.flatMap((kind) => {
      const device = props.state[kind];
      const { fault, opening } = device;
      return fault && !opening && !read().includes(device) ? [deviceFaults[kind][fault]] : [];
    });
  return (
    <div class="trouble" role="status">
      <For each={lines()}>
        {(line) => (
          <div class="note">
            <Warning class="icon" />
            <p>{line}</p>
            <button
              type="button"
              class="close"
              aria-label="Dismiss"
              title="Dismiss"
              onClick={() => setRead(current())}
            >
              <Close class="icon" />
            </button>
          </div>
        )}
      </For>
    </div>
  );
}

/** The names in one epoch's roster that are not in the other's. */
function namesBeyond(a: EpochStarted | undefined, b: EpochStarted | undefined): string[] {
  if (!a || !b) return [];
  const there = new Set(b.members.map(({ pid }) => pid));
  return a.members.filter(({ pid }) => !there.has(pid)).map(({ name }) => name);
}

/** Whether the panel is open, and how to change that. Closed, it gives the focus back. */
function createPanel(): [Accessor<boolean>, () => void] {
  const [open, setOpen] = createSignal(false);
  let before: Element | null = null;
  const toggle = (): void => {
    if (!open()) before = document.activeElement;
    setOpen(!open());
    if (!open() && before instanceof HTMLElement && before.isConnected) before.focus();
  };
  return [open, toggle];
}

const restAfter = 4_000; // ms without a pointer or key

/** Whether nobody has touched anything for a while: then the controls fade. */
function createResting(): Accessor<boolean> {
  const [resting, setResting] = createSignal(false);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const stir = (): void => {
    clearTimeout(timer);
    setResting(false);
    timer = setTimeout(() => setResting(true), restAfter);
  };
  const events = ['pointermove', 'pointerdown', 'keydown'] as const;
  onMount(() => {
    for (const event of events) window.addEventListener(event, stir, { passive: true });
    stir();
  });
  onCleanup(() => {
    clearTimeout(timer);
    for (const event of events) window.removeEventListener(event, stir);
  });
  return resting;
}

function Top(props: { state: CallState; panelOpen: boolean; onKey: () => void }): JSX.Element {
  const mark = createMark(() => props.state);
  const line = () => statusLine(props.state, joining(props.state).length);
  return (
    <div class="top">
      <button
        type="button"
        class={`key ${mark().mark}`}
        aria-label="Encryption"
        aria-describedby="key-state"
        title={keyReasons[mark().why].title}
        data-mark={mark().mark}
        aria-expanded={props.panelOpen}
        onClick={() => props.onKey()}
      >
        <Key class="icon" />
      </button>
      <span id="key-state" class="hidden">
        {keyReasons[mark().why].title}
      </span>
      <div class="status" role="status">
        {line()}
      </div>
    </div>
  );
}

function Toasts(props: { state: CallModel['state'] }): JSX.Element {
  const toasts = createToasts(() => props.state());
  return (
    <div class="toasts" role="log" aria-label="News" aria-live="polite">
      <For each={toasts()}>
        {(notice) => (
          <div class="toast">
            <bdi>{notice.name}</bdi> {notice.kind === 'joined' ? 'came in' : 'left'}
          </div>
        )}
      </For>
    </div>
  );
}
