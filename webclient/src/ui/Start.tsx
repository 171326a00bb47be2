import { createSignal, Show, type JSX } from 'solid-js';
import { parseLink, type LinkFault } from '../call/link';
import { Page } from './Page';
import { linkFaults } from './words';

interface StartProps {
  onNew: () => void;
  /** A new meeting is being made. */
  beginning: boolean;
  onLink: (href: string) => void;
}

/** The first page: make a meeting, or come to one by its link. */
export function Start(props: StartProps): JSX.Element {
  const [fault, setFault] = createSignal<LinkFault>();
  let field!: HTMLInputElement;

  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    const link = parseLink(field.value);
    if (typeof link !== 'string') {
      props.onLink(link.href);
      return;
    }
    setFault(link);
    field.focus();
  };

  return (
    <Page>
      <div class="start">
        <div class="lead">
          <h1>A quiet room with the door closed</h1>
          <p class="soft">
            Video meetings that only the people in them can see and hear. The server has no key.
          </p>
        </div>
        <button
          type="button"
          class="button primary"
          disabled={props.beginning}
          onClick={() => props.onNew()}
        >
          New meeting
        </button>
        <div class="or">or come to one</div>
        <form class="field" onSubmit={submit} noValidate>
          <label for="link">Meeting link</label>
          <div class="inline">
            <input
              id="link"
              ref={field}
              type="url"
              inputmode="url"
              placeholder="https://…"
              autocomplete="off"
              spellcheck={false}
              aria-invalid={fault() !== undefined}
              aria-describedby="link-error"
              onInput={() => setFault(undefined)}
            />
            <button type="submit" class="button">
              Join
            </button>
          </div>
          <p id="link-error" class="error" aria-live="polite">
            <Show when={fault()}>
              {(why) => `${linkFaults[why()].title}. ${linkFaults[why()].text}`}
            </Show>
          </p>
        </form>
      </div>
    </Page>
  );
}
