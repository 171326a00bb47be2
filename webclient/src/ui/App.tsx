import { createSignal, Match, onCleanup, onMount, Switch, type JSX } from 'solid-js';
import { Call } from '../call/call';
import { newLink, parseLink, type LinkFault, type MeetingLink } from '../call/link';
import { LocalMedia, type LocalState } from '../call/local';
import { wantedSuite } from '../call/settings';
import { Spare } from '../call/spare';
import type { EndReason } from '../call/state';
import { E2EE } from '../e2ee/client';
import { CallPage } from './CallPage';
import { rememberedCodec } from './codec';
import { Leave, Lock, Warning } from './icons';
import { MessagePage } from './Page';
import { PreJoin } from './PreJoin';
import { Start } from './Start';
import { lackOf } from './support';
import { endings, lacks, linkFaults, type Lack } from './words';

/** Where the user is. */
type Route =
  | { page: 'start' }
  | { page: 'lack'; lack: Lack }
  | { page: 'bad-link'; fault: LinkFault }
  | { page: 'prejoin'; link: MeetingLink; local: LocalMedia }
  | { page: 'call'; link: MeetingLink; local: LocalMedia; call: Call; name: string }
  | { page: 'end'; link: MeetingLink; reason: EndReason };

/** The whole client: which page is shown. The address decides until somebody acts. */
export function App(): JSX.Element {
  const [route, setRoute] = createSignal<Route>(routeFor(location.href));
  const [localState, setLocalState] = createSignal<LocalState>(new LocalMedia().state);

  const [beginning, setBeginning] = createSignal(false);
  const spare = new Spare(() => E2EE.start());

  const go = (next: Route): void => {
    const before = route();
    const kept = 'local' in next ? next.local : undefined;
    if ('local' in before && before.local !== kept) before.local.close();
    if (before.page === 'call' && next !== before) before.call.leave();
    if (next.page === 'prejoin') {
      next.local.onChange(setLocalState);
      spare.load();
    }
    setRoute(next);
  };
  const open = (href: string): void => {
    history.pushState(null, '', href);
    go(routeFor(href));
  };
  const begin = async (): Promise<void> => {
    if (beginning()) return;
    const at = route();
    setBeginning(true);
    const suite = await wantedSuite();
    setBeginning(false);
    if (route() === at) open(newLink(location.origin, suite)); // else the user went elsewhere
  };
  const visit = (href: string): void => {
    // Another server's meeting is that server's page.
    if (new URL(href).origin === location.origin) open(href);
    else location.assign(href);
  };
  const join = (name: string): void => {
    const at = route();
    if (at.page !== 'prejoin') return;
    const { link, local } = at;
    const call = new Call({
      link,
      name,
      local,
      codec: rememberedCodec(),
      startEncryption: () => spare.take(),
    });
    call.on('state', ({ ended }) => {
      const now = route();
      if (ended && now.page === 'call' && now.call === call)
        go({ page: 'end', link, reason: ended });
    });
    go({ page: 'call', link, local, call, name });
    void call.join();
  };

  // An edited fragment, too, is a popstate.
  const moved = (): void => go(routeFor(location.href));
  onMount(() => {
    window.addEventListener('popstate', moved);
  });
  onCleanup(() => {
    window.removeEventListener('popstate', moved);
  });
  go(route());

  const at = <P extends Route['page']>(page: P): Extract<Route, { page: P }> | undefined => {
    const now = route();
    return now.page === page ? (now as Extract<Route, { page: P }>) : undefined;
  };
  return (
    <Switch fallback={<Start onNew={() => void begin()} beginning={beginning()} onLink={visit} />}>
      <Match when={at('lack')}>
        {(now) => <MessagePage message={lacks[now().lack]} icon={<Lock class="icon" />} />}
      </Match>
      <Match when={at('bad-link')}>
        {(now) => (
          <MessagePage message={linkFaults[now().fault]} icon={<Warning class="icon" />}>
            <a class="button" href="/">
              To the start
            </a>
          </MessagePage>
        )}
      </Match>
      <Match when={at('prejoin')} keyed>
        {(now) => (
          <PreJoin room={now.link.room} local={now.local} localState={localState} onJoin={join} />
        )}
      </Match>
      <Match when={at('call')} keyed>
        {(now) => <CallPage {...now} href={now.link.href} localState={localState} />}
      </Match>
      <Match when={at('end')}>
        {(now) => (
          <MessagePage message={endings[now().reason]} icon={<Leave class="icon" />}>
            <button
              type="button"
              class="button primary"
              onClick={() => go({ page: 'prejoin', link: now().link, local: new LocalMedia() })}
            >
              Rejoin
            </button>
            <button
              type="button"
              class="button"
              disabled={beginning()}
              onClick={() => void begin()}
            >
              New meeting
            </button>
          </MessagePage>
        )}
      </Match>
    </Switch>
  );
}

function routeFor(href: string): Route {
  const lack = lackOf();
  if (lack) return { page: 'lack', lack };
  if (new URL(href).pathname === '/') return { page: 'start' };
  const link = parseLink(href);
  return typeof link === 'string'
    ? { page: 'bad-link', fault: link }
    : { page: 'prejoin', link, local: new LocalMedia() };
}
