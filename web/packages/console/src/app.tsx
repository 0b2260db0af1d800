import { connectStream, createClient, RealtimeError } from '@millrace/client';
import type { GetNodeResponseJson, SampleJson } from '@millrace/client/gen/millrace/v1/admin_service_pb.ts';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { type API, createAPI } from './api.ts';
import { Access } from './pages/access.tsx';
import { ChannelPage } from './pages/channel.tsx';
import { Channels } from './pages/channels.tsx';
import { Overview } from './pages/overview.tsx';
import { SessionPage } from './pages/session.tsx';
import { Sessions } from './pages/sessions.tsx';
import { Title } from './parts.tsx';
import { link, type Route, useRoute } from './route.ts';
import { SignIn } from './signin.tsx';
import { type Console, ConsoleContext, explain } from './state.ts';

const storageKey = 'millrace.token';

/** The console: signs in, and shows the page of the route. */
export function App() {
  const [signedIn, setSignedIn] = useState<{ readonly api: API; readonly node: GetNodeResponseJson }>();
  const [problem, setProblem] = useState('');
  const [busy, setBusy] = useState(true);

  async function signIn(token: string, isFirst = false): Promise<void> {
    const api = createAPI(token);
    setBusy(true);
    try {
      const node = await api.call('GetNode', {});
      sessionStorage.setItem(storageKey, token);
      setProblem('');
      setSignedIn({ api, node });
    } catch (error) {
      // Without credentials there is nothing wrong with them: an open server needs none.
      setProblem(isFirst && !token ? '' : refusal(error));
    }
    setBusy(false);
  }
  // biome-ignore lint/correctness/useExhaustiveDependencies: once
  useEffect(() => void signIn(sessionStorage.getItem(storageKey) ?? '', true), []);

  const signOut = (reason = ''): void => {
    sessionStorage.removeItem(storageKey);
    setProblem(reason);
    setSignedIn(undefined);
  };
  if (signedIn) return <Frame key={signedIn.api.token} {...signedIn} signOut={signOut} />;
  return busy && !problem ? (
    <main class="signin" aria-busy="true" />
  ) : (
    <SignIn problem={problem} busy={busy} signIn={signIn} />
  );
}

function refusal(error: unknown): string {
  if (error instanceof RealtimeError && error.reason === 'FORBIDDEN')
    return 'These credentials are good, but do not allow administration: they lack the grant admin, or inspect, on all channels.';
  return explain(error);
}

const pages = { overview: 'Overview', sessions: 'Sessions', channels: 'Channels', access: 'Access' };

function Frame(props: {
  readonly api: API;
  readonly node: GetNodeResponseJson;
  readonly signOut: (reason?: string) => void;
}) {
  const { api, node, signOut } = props;
  const route = useRoute();
  const [notice, setNotice] = useState({ text: '', isError: false });
  const { samples, live } = useSamples(api, signOut);
  const client = useMemo(
    () => createClient({ transports: [connectStream(location.origin)], ...(api.token && { token: api.token }) }),
    [api],
  );
  useEffect(() => () => client.disconnect(), [client]);
  const value: Console = {
    api,
    node,
    client,
    samples,
    live,
    notify: (text, isError = false) => setNotice({ text, isError }),
  };
  const here = route.path[0] ?? 'overview';
  return (
    <ConsoleContext.Provider value={value}>
      {/* biome-ignore lint/a11y/useValidAnchor: it goes to a place of the page, and the address is the console's own */}
      <a class="skip" href="#content" onClick={skip}>
        Skip to content
      </a>
      <header class="top">
        <span class="brand">Millrace</span>
        <nav aria-label="Console">
          {Object.entries(pages).map(([name, title]) => (
            <a key={name} href={link([name])} aria-current={here === name ? 'page' : undefined}>
              {title}
            </a>
          ))}
        </nav>
        <span class={live ? 'live' : 'live off'} role="status">
          {live ? 'live' : 'not connected'}
        </span>
        <span class="who">{node.user || 'API key'}</span>
        {api.token && (
          <button type="button" onClick={() => signOut()}>
            Sign out
          </button>
        )}
      </header>
      <main id="content" tabIndex={-1}>
        <Page route={route} />
      </main>
      <footer>
        <p role="status" class={notice.isError ? 'toast problem' : 'toast'} hidden={!notice.text}>
          {notice.text}
          {notice.text && (
            <button type="button" class="small" onClick={() => setNotice({ text: '', isError: false })}>
              Dismiss
            </button>
          )}
        </p>
      </footer>
    </ConsoleContext.Provider>
  );
}

/** The address of a page is after the `#`, so a plain link would leave it. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById('content')?.focus();
}

function Page({ route }: { readonly route: Route }) {
  const [page = 'overview', id] = route.path;
  if (page === 'overview') return <Overview />;
  if (page === 'sessions') return id ? <SessionPage key={id} id={id} /> : <Sessions query={route.query} />;
  if (page === 'channels') return id ? <ChannelPage key={id} name={id} /> : <Channels query={route.query} />;
  if (page === 'access') return <Access />;
  return <Title text="There is no such page" />;
}

const kept = 600;
const pause = 2000;

/** Follows the samples of the node, and again after a loss. */
function useSamples(api: API, signOut: (reason: string) => void) {
  const [samples, setSamples] = useState<readonly SampleJson[]>([]);
  const [live, setLive] = useState(false);
  // biome-ignore lint/correctness/useExhaustiveDependencies: signing out does not depend on when
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    async function follow(): Promise<void> {
      try {
        let isFirst = true;
        for await (const fresh of api.samples(abort.signal)) {
          setSamples((before) => (isFirst ? fresh : [...before, ...fresh]).slice(-kept));
          isFirst = false;
          setLive(true);
        }
      } catch (error) {
        if (abort.signal.aborted) return;
        if (error instanceof RealtimeError && (error.reason === 'UNAUTHENTICATED' || error.reason === 'EXPIRED'))
          return signOut('Your credentials are not good any more.');
      }
      setLive(false);
      if (!abort.signal.aborted) timer = setTimeout(follow, pause);
    }
    void follow();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [api]);
  return { samples, live };
}
