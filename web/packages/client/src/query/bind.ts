import type { QueryClient } from '@tanstack/react-query';
import type { Client } from '../client.ts';
import { oncePerFrame } from '../frames.ts';
import { together, type Undo } from '../listeners.ts';
import { eventOf, type StreamEvent } from './events.ts';
import { type CacheUpdateStrategy, channelOf } from './strategies.ts';
import { StreamQueryCacheUpdater } from './updater.ts';

/**
 * Keeps a query cache up to date. It subscribes to the channels of the strategies, and takes entity events of other channels as
 * well. What comes within a frame changes the cache together. After a gap it loads anew what the strategy feeds. Strategies
 * that change are given as a function; their channels are those of the first moment.
 */
export function bindQueryClient(
  client: Client,
  queryClient: QueryClient,
  strategies: readonly CacheUpdateStrategy[] | (() => readonly CacheUpdateStrategy[]),
): Undo {
  const current = typeof strategies === 'function' ? strategies : () => strategies;
  const entities = new Map(current().map((strategy) => [channelOf(strategy), strategy.entity]));
  let events: StreamEvent[] = [];
  const flush = oncePerFrame(() => {
    const updater = new StreamQueryCacheUpdater({ queryClient, strategies: current() });
    const together = events;
    events = [];
    updater.processEvents(together);
  });
  const undo = [
    client.onMessage((message) => {
      const event = eventOf(message, entities.get(message.channel));
      if (!event) return;
      events.push(event);
      flush();
    }),
  ];
  for (const name of entities.keys()) {
    const channel = client.channel(name);
    undo.push(
      channel.subscribe(() => {}),
      channel.onGap(() => {
        for (const strategy of current())
          if (channelOf(strategy) === name) void queryClient.invalidateQueries({ queryKey: keyOf(strategy) });
      }),
    );
  }
  return together(...undo);
}

function keyOf(strategy: CacheUpdateStrategy): readonly unknown[] {
  return 'updateType' in strategy ? strategy.queryKey : strategy.getListQueryKey();
}
