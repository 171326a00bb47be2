import { createSignal, For, Show, type JSX } from 'solid-js';
import { sendableCodecs } from '../call/codecs';
import { rememberCodec, rememberedCodec } from './codec';
import { codecs } from './words';

/** For those who know what they want: what the picture is coded by, where there is a choice. */
export function CodecChoice(): JSX.Element {
  const all = sendableCodecs();
  const [chosen, setChosen] = createSignal(rememberedCodec());
  const choose = (value: string): void => {
    const codec = all.find((codec) => codec === value);
    if (!codec) return;
    setChosen(codec);
    rememberCodec(codec);
  };
  return (
    <Show when={all.length > 1}>
      <details class="more">
        <summary>More settings</summary>
        <div class="field">
          <label for="codec">Video codec</label>
          <select
            id="codec"
            aria-describedby="codec-hint"
            onChange={(event) => choose(event.currentTarget.value)}
          >
            <For each={all}>
              {(codec) => (
                <option value={codec} selected={codec === chosen()}>
                  {codecs[codec].title}
                </option>
              )}
            </For>
          </select>
          <p id="codec-hint" class="small soft">
            {codecs[chosen()].text}
          </p>
        </div>
      </details>
    </Show>
  );
}
