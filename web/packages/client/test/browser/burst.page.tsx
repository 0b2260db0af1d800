import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query';
import { type ReactNode, useLayoutEffect } from 'react';
import { createRoot } from 'react-dom/client';
import { channelQuery } from '../../src/query/index.ts';
import { RealtimeProvider, useMessages, useRealtimeClient } from '../../src/react/index.ts';

/** What is counted: commits of React, and frames of the browser. */
export const counted = { commits: 0, frames: 0 };
/** What a handler received, in order. */
export const numbers: number[] = [];

export let client: ReturnType<typeof useRealtimeClient>;

function useCounted(): void {
  client = useRealtimeClient();
  useLayoutEffect(() => void counted.commits++);
}

function List({ channel }: { channel: string }): ReactNode {
  useCounted();
  const { messages } = useMessages<number>(channel, { max: 200 });
  return (
    <ul id="shown" data-last={messages.at(-1)?.data}>
      {messages.map((message) => (
        <li key={message.position?.offset}>{message.data}</li>
      ))}
    </ul>
  );
}

function Cached({ channel }: { channel: string }): ReactNode {
  useCounted();
  const { data } = useQuery(
    channelQuery<readonly number[], number>(client, {
      queryKey: [channel],
      channel,
      fetch: async () => ({ data: [] }),
      reduce: (all, message) => [...all, message.data],
    }),
  );
  return (
    <ul id="shown" data-last={data?.at(-1)} data-count={data?.length}>
      {data?.slice(-200).map((n) => (
        <li key={n}>{n}</li>
      ))}
    </ul>
  );
}

export function show(kind: 'list' | 'cache', url: string, channel: string): void {
  const tick = (): void => {
    counted.frames++;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  createRoot(document.getElementById('root') as HTMLElement).render(
    <QueryClientProvider client={new QueryClient()}>
      <RealtimeProvider config={{ type: 'websocket', url }}>
        {kind === 'list' ? <List channel={channel} /> : <Cached channel={channel} />}
      </RealtimeProvider>
    </QueryClientProvider>,
  );
}

export function listen(channel: string): void {
  client.subscribe(channel, (data) => numbers.push(data as number));
}

/** Begins to count. */
export function count(): void {
  Object.assign(counted, { commits: 0, frames: 0 });
}
