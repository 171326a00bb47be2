import { Show, type JSX } from 'solid-js';
import { namesakeText } from './words';

/** Tells apart those whose names look the same. */
export function Namesake(props: { number: number | undefined }): JSX.Element {
  return (
    <Show when={props.number}>
      {(number) => (
        <span class="namesake" title={namesakeText(number())}>
          <span class="hidden">{namesakeText(number())}</span>
          <span aria-hidden="true">{number()}</span>
        </span>
      )}
    </Show>
  );
}
