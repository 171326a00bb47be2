import type { JSX } from 'solid-js';

/** The whole client. */
export function App(): JSX.Element {
  return <main>Conclave</main>;
}
