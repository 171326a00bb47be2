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
import type { LocalState } from '../call/local';
import { isAway, isLeaving, members, micOn, picture, tileKey } from '../call/select';
import { createNumbers, createRoster, type CallModel } from './call-model';
import { Tile } from './Tile';

interface TilesProps extends CallModel {
  call: Call;
  /** Ours, until MLS says it. */
  name: string;
  localState: Accessor<LocalState>;
}

/** The tiles, as large as the window allows. */
export function Tiles(props: TilesProps): JSX.Element {
  const [size, setSize] = createSignal({ width: 0, height: 0 });
  const roster = createRoster(props.state);
  const numbers = createNumbers(props.state);
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
          return (
            <Participant
              {...props}
              pid={pid}
              namesake={numbers().get(pid)}
              ref={(element) => elements.set(pid, element)}
            />
          );
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

interface ParticipantProps extends TilesProps {
  pid: string;
  namesake: number | undefined;
  ref: (element: HTMLElement) => void;
}

function Participant(props: ParticipantProps): JSX.Element {
  const own = () => props.pid === props.state().pid;
  const shown = createMemo(() => picture(props.state(), props.pid));
  const leaving = createMemo(() => isLeaving(props.state(), props.pid));
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
      namesake={props.namesake}
      own={own()}
      picture={own() ? { kind: 'off' } : shown()}
      track={track()}
      muted={own() ? !props.localState().audio.on : !leaving() && !micOn(props.state(), props.pid)}
      absence={leaving() ? 'leaving' : isAway(props.state(), props.pid) ? 'away' : undefined}
      key={tileKey(props.state(), props.pid)}
      ref={props.ref}
    />
  );
}

function ownPicture({ video }: LocalState): MediaStreamTrack | undefined {
  return video.on ? video.track : undefined;
}
