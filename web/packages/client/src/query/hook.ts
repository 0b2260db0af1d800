import { QueryClientContext } from '@tanstack/react-query';
import { useContext, useEffect, useMemo } from 'react';
import { useRealtimeClient } from '../react/provider.ts';
import { useLatestRef } from '../react/store.ts';
import { bindQueryClient } from './bind.ts';
import { type CacheUpdateStrategy, channelOf } from './strategies.ts';

/**
 * Keeps the application's query cache up to date, as {@link bindQueryClient} does. The strategies may be written in place.
 * Without a `QueryClientProvider` around it does nothing.
 */
export function useCacheStrategies(strategies: readonly CacheUpdateStrategy[]): void {
  const client = useRealtimeClient();
  const queryClient = useContext(QueryClientContext);
  const latest = useLatestRef(strategies);
  const names = strategies.map(channelOf).join(' ');
  const current = useMemo(() => ({ names, strategies: () => latest.current }), [names, latest]);
  useEffect(
    () => (queryClient ? bindQueryClient(client, queryClient, current.strategies) : undefined),
    [client, queryClient, current],
  );
}
