import { onMount, type JSX, type ParentProps } from 'solid-js';
import { takeFocus } from './focus';
import { Logo } from './icons';
import type { Text } from './words';

/** The frame of all pages but the call. */
export function Page(props: ParentProps): JSX.Element {
  let main!: HTMLElement;
  onMount(() => takeFocus(main));
  return (
    <div class="page">
      <a class="brand" href="/">
        <Logo />
        Conclave
      </a>
      <main ref={main} tabIndex={-1}>
        {props.children}
      </main>
      <footer>The server passes on what it cannot open. The key stays in your link.</footer>
    </div>
  );
}

/** A page that says one thing and what to do about it. */
export function MessagePage(props: ParentProps<{ message: Text; icon: JSX.Element }>): JSX.Element {
  return (
    <Page>
      <div class="message" role="status">
        <span class="emblem">{props.icon}</span>
        <h1>{props.message.title}</h1>
        <p class="soft">{props.message.text}</p>
        <div class="actions">{props.children}</div>
      </div>
    </Page>
  );
}
