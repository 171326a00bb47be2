import {
  createEffect,
  createMemo,
  createSignal,
  For,
  onCleanup,
  onMount,
  Show,
  type Accessor,
  type JSX,
} from 'solid-js';
import type { Call } from '../call/call';
import { bestGrid, capacity } from '../call/grid';
import type { LocalMedia, LocalState } from '../call/local';
import type { EpochStarted } from '../call/ports';
import { isAway, joining, keyMark, members, micOn, picture, tileKey } from '../call/select';
import { createCallModel, createRoster, createToasts, statusLine } from './call-model';
import { Copy, Key, Leave, People, Shield } from './icons';
import { MediaButtons } from './MediaButtons';
import { Panel } from './Panel';
import { SafetyNumber } from './SafetyNumber';
import { Sound } from './Sound';
import { Tile } from './Tile';
import { keyReasons } from './words';

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
  const [panel, setPanel] = createSignal(false);
  const [shown, setShown] = createSignal<EpochStarted>();
  const resting = createResting();
  const online = (): void => props.call.retryNow();
  onMount(() => {
    window.addEventListener('online', online);
    window.addEventListener('pointerdown', online);
  });
  onCleanup(() => {
    window.removeEventListener('online', online);
    window.removeEventListener('pointerdown', online);
  });
  return (
    <main class="call" classList={{ resting: resting() }}>
      <div class="stage">
        <Top state={state()} onKey={() => setPanel(!panel())} />
        <Tiles {...props} state={state} slots={slots} />
        <Controls
          {...props}
          onPeople={() => setPanel(!panel())}
          onSafety={() => setShown(state().epoch)}
        />
        <Toasts state={state} />
      </div>
      <Show when={panel()}>
        <Panel
          state={state()}
          ownMuted={!props.localState().audio.on}
          onClose={() => setPanel(false)}
          onCompare={() => setShown(state().epoch)}
        />
      </Show>
      <SafetyNumber
        shown={shown()}
        came={namesBeyond(state().epoch, shown())}
        went={namesBeyond(shown(), state().epoch)}
        onRefresh={() => setShown(state().epoch)}
        onClose={() => setShown(undefined)}
      />
      <Sound slots={slots()} />
    </main>
  );
}

/** The names in one epoch's roster that are not in the other's. */
function namesBeyond(a: EpochStarted | undefined, b: EpochStarted | undefined): string[] {
  if (!a || !b) return [];
  const there = new Set(b.members.map(({ pid }) => pid));
  return a.members.filter(({ pid }) => !there.has(pid)).map(({ name }) => name);
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

function Top(props: {
  state: ReturnType<Accessor<Call['state']>>;
  onKey: () => void;
}): JSX.Element {
  const mark = () => keyMark(props.state);
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
        onClick={() => props.onKey()}
      >
        <Key class="icon" />
      </button>
      <span id="key-state" class="hidden">
        {keyReasons[mark().why].title}
      </span>
      <div class="status" role="status">
        <span>{line()}</span>
      </div>
    </div>
  );
}

type Model = ReturnType<typeof createCallModel>;

function Tiles(props: CallPageProps & Model): JSX.Element {
  const [size, setSize] = createSignal({ width: 0, height: 0 });
  const roster = createRoster(props.state);
  const elements = new Map<string, HTMLElement>();
  let stage!: HTMLDivElement;

  const gap = 8; // px, as --gap
  const count = createMemo(() => capacity(roster().length, size().width, size().height, gap));
  const visible = createMemo(() => fitting(roster(), count()));
  const grid = createMemo(() => {
    const cells = visible().length + (visible().length < roster().length ? 1 : 0);
    return bestGrid(cells, size().width, size().height, gap);
  });

  const measure = new ResizeObserver(() =>
    setSize({ width: stage.clientWidth, height: stage.clientHeight }),
  );
  onMount(() => measure.observe(stage));
  createEffect(() => {
    stage.style.setProperty('--tile-width', `${grid().width}px`);
    stage.style.setProperty('--tile-height', `${grid().height}px`);
    const remote = visible().filter((pid) => pid !== props.state().pid);
    const { width, height } = grid();
    props.call.show(
      remote.map((pid) => ({ pid, width, height })),
      window.devicePixelRatio,
    );
  });
  const timer = setInterval(() => {
    for (const [pid, element] of elements) showLevel(element, props.call.level(pid));
  }, 100);
  onCleanup(() => {
    measure.disconnect();
    clearInterval(timer);
  });

  return (
    <div class="tiles" ref={stage}>
      <For each={visible()}>
        {(pid) => {
          onCleanup(() => elements.delete(pid));
          return <Participant {...props} pid={pid} ref={(element) => elements.set(pid, element)} />;
        }}
      </For>
      <Show when={visible().length < roster().length}>
        <div class="tile more">and {roster().length - visible().length} more</div>
      </Show>
    </div>
  );
}

/** All, or as many as fit beside the tile that counts the rest. We give way last. */
function fitting(roster: string[], count: number): string[] {
  return count >= roster.length ? roster : roster.slice(0, Math.max(1, count - 1));
}

const audible = 0.08; // below, it is a room and not a voice

function showLevel(element: HTMLElement, level: number): void {
  element.style.setProperty('--level', level.toFixed(2));
  element.classList.toggle('speaking', level > audible);
}

interface ParticipantProps extends CallPageProps, Model {
  pid: string;
  ref: (element: HTMLElement) => void;
}

function Participant(props: ParticipantProps): JSX.Element {
  const own = () => props.pid === props.state().pid;
  const shown = createMemo(() => picture(props.state(), props.pid));
  const name = createMemo(
    () => members(props.state()).find(({ pid }) => pid === props.pid)?.name ?? props.name,
  );
  const track = createMemo(() => {
    if (own()) return ownPicture(props.localState());
    const seen = shown();
    return seen.kind === 'live' ? props.slots().get(seen.slot)?.track : undefined;
  });
  return (
    <Tile
      name={name()}
      own={own()}
      picture={own() ? { kind: 'off' } : shown()}
      track={track()}
      muted={own() ? !props.localState().audio.on : !micOn(props.state(), props.pid)}
      away={isAway(props.state(), props.pid)}
      key={tileKey(props.state(), props.pid)}
      ref={props.ref}
    />
  );
}

function ownPicture({ video }: LocalState): MediaStreamTrack | undefined {
  return video.on ? video.track : undefined;
}

function Toasts(props: { state: Model['state'] }): JSX.Element {
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

interface ControlsProps extends CallPageProps {
  onPeople: () => void;
  onSafety: () => void;
}

function Controls(props: ControlsProps): JSX.Element {
  return (
    <div class="controls" role="toolbar" aria-label="Controls">
      <MediaButtons local={props.local} state={props.localState()} />
      <CopyLink href={props.href} />
      <button
        type="button"
        class="control"
        aria-label="People"
        title="People"
        onClick={() => props.onPeople()}
      >
        <People class="icon" />
      </button>
      <button
        type="button"
        class="control"
        aria-label="Safety number"
        title="Safety number"
        onClick={() => props.onSafety()}
      >
        <Shield class="icon" />
      </button>
      <button
        type="button"
        class="control leave"
        aria-label="Leave"
        title="Leave"
        onClick={() => props.call.leave()}
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
