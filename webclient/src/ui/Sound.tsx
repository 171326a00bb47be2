import { createSignal, For, onCleanup, onMount, Show, type JSX } from 'solid-js';
import type { Slot } from '../call/peer';

/** Plays what the audio slots carry. A browser that wants a gesture first gets a button for it. */
export function Sound(props: { slots: ReadonlyMap<string, Slot> }): JSX.Element {
  const [blocked, setBlocked] = createSignal(false);
  const players = new Set<HTMLAudioElement>();
  const voices = (): Slot[] => [...props.slots.values()].filter((slot) => slot.kind === 'audio');
  const play = (player: HTMLAudioElement): void => {
    players.add(player);
    player.play().then(
      () => setBlocked(false),
      (error: unknown) =>
        setBlocked(error instanceof DOMException && error.name === 'NotAllowedError'),
    );
  };
  return (
    <>
      <For each={voices()}>
        {(slot) => (
          <Voice track={slot.track} onPlay={play} onGone={(player) => players.delete(player)} />
        )}
      </For>
      <Show when={blocked()}>
        <button
          type="button"
          class="button primary unblock"
          onClick={() => {
            for (const player of players) play(player);
          }}
        >
          Turn sound on
        </button>
      </Show>
    </>
  );
}

function Voice(props: {
  track: MediaStreamTrack;
  onPlay: (player: HTMLAudioElement) => void;
  onGone: (player: HTMLAudioElement) => void;
}): JSX.Element {
  let player!: HTMLAudioElement;
  onMount(() => {
    player.srcObject = new MediaStream([props.track]);
    props.onPlay(player);
  });
  onCleanup(() => {
    player.srcObject = null;
    props.onGone(player);
  });
  return <audio ref={player} />;
}
