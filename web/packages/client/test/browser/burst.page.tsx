import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query';
import { Profiler, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { channelQuery } from '../../src/query/index.ts';
import { RealtimeProvider, useMessages, useRealtimeClient } from '../../src/react/index.ts';

/** When React committed, and when the browser made frames. */
export const commits: number[] = [];
export const frames: number[] = [];
/** How long this page's own work in each commit took, in milliseconds. */
export const work: number[] = [];

export let client: ReturnType<typeof useRealtimeClient>;

function List({ channel }: { channel: string }): ReactNode {
  client = useRealtimeClient();
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
  client = useRealtimeClient();
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
  const tick = (time: number): void => {
    frames.push(time);
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
  createRoot(document.getElementById('root') as HTMLElement).render(
    <QueryClientProvider client={new QueryClient()}>
      <RealtimeProvider config={{ type: 'websocket', url }}>
        <Profiler
          id="all"
          onRender={(_, __, duration, ___, ____, committed) => {
            commits.push(committed);
            work.push(duration);
          }}
        >
          {kind === 'list' ? <List channel={channel} /> : <Cached channel={channel} />}
        </Profiler>
      </RealtimeProvider>
    </QueryClientProvider>,
  );
}
