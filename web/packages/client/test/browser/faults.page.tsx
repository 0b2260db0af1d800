import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { type ReactNode, StrictMode, useEffect } from 'react';
import { createRoot, type Root } from 'react-dom/client';
import * as core from '../../src/index.ts';
import { type FlagSource, RealtimeProvider as Provider, type RealtimeConfig } from '../../src/react/index.ts';
import {
  type CacheUpdateStrategy,
  type RealtimeContextValue,
  RealtimeProvider,
  useBufferedRealtimeStream,
  useRealtimeContext,
} from '../../src/realtime/index.ts';

export { createSSEClient, createWebSocketClient } from '../../src/realtime/index.ts';
export { core };

/** What handlers received, in order. */
export const got: unknown[] = [];
/** The context of the last render. */
export let context: RealtimeContextValue;
export let renders = 0;

let root: Root | undefined;

/** Shows something instead of what is shown. */
export function show(node: ReactNode): void {
  root ??= createRoot(document.getElementById('root') as HTMLElement);
  root.render(node);
}

export function unmount(): void {
  root?.unmount();
  root = undefined;
}

/** Subscribes, and sends if there is something to send, from its first effect on. */
function Listener({ channel, first }: { channel: string; first?: unknown }): ReactNode {
  const now = useRealtimeContext();
  context = now;
  const { subscribe, send, isConnected, connect } = now;
  useEffect(() => subscribe(channel, (data) => got.push(data)), [channel, subscribe]);
  useEffect(() => {
    if (first !== undefined) send(channel, first);
  }, [channel, first, send]);
  useEffect(() => {
    if (!isConnected) connect();
  }, [isConnected, connect]);
  return <p>{now.connectionState}</p>;
}

/** A provider with a config that is another object at each render, and a listener for each channel. */
export function App({ url, config, channels = ['test'], first, strict = false }: AppProps): ReactNode {
  const app = (
    <RealtimeProvider config={{ type: 'websocket', url, cacheStrategies: [], ...config }}>
      {channels.map((channel) => (
        <Listener key={channel} channel={channel} first={first} />
      ))}
    </RealtimeProvider>
  );
  return strict ? <StrictMode>{app}</StrictMode> : app;
}

interface AppProps {
  url: string;
  config?: RealtimeConfig;
  channels?: string[];
  first?: unknown;
  strict?: boolean;
}

export function app(props: AppProps): void {
  show(<App {...props} />);
}

/** Two providers for the same URL. */
export function twice(url: string): void {
  show(
    <>
      <App url={url} channels={['one']} />
      <App url={url} channels={['two']} />
    </>,
  );
}

const flagListeners = new Set<() => void>();
let flagIsOn = true;

/** A flag that the test turns. */
export const flag: FlagSource & { set(on: boolean): void } = {
  get: () => flagIsOn,
  set(on) {
    flagIsOn = on;
    for (const listener of flagListeners) listener();
  },
  subscribe(listener) {
    flagListeners.add(listener);
    return () => flagListeners.delete(listener);
  },
};

export const queryClient = new QueryClient();

/** The document's strategies, around the application's own cache. */
export function cached(url: string): void {
  const cacheStrategies: CacheUpdateStrategy[] = [
    {
      entity: 'user',
      updateType: 'merge',
      queryKey: ['users'],
      transform: (data) => ({ ...(data as object), updatedAt: 1 }),
    },
    { entity: 'message', updateType: 'append', queryKey: ['messages'] },
    { entity: 'post', updateType: 'remove', queryKey: ['posts'] },
  ];
  show(
    <QueryClientProvider client={queryClient}>
      <RealtimeProvider config={{ type: 'websocket', url, cacheStrategies }}>
        <Listener channel="test" />
      </RealtimeProvider>
    </QueryClientProvider>,
  );
}

function Buffered(): ReactNode {
  const { messages } = useBufferedRealtimeStream<number>('test.buffered', 50);
  context = useRealtimeContext();
  renders++;
  return <p id="buffered">{messages.join(' ')}</p>;
}

export function buffered(url: string): void {
  show(
    <RealtimeProvider config={{ type: 'websocket', url }}>
      <Buffered />
    </RealtimeProvider>,
  );
}

function Page(): ReactNode {
  context = useRealtimeContext();
  return <p>{context.connectionState}</p>;
}

/** A provider without anything of the query cache. */
export function plain(config: RealtimeConfig): void {
  show(
    <Provider config={config}>
      <Page />
    </Provider>,
  );
}
