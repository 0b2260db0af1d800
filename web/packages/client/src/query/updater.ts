import { notifyManager, type QueryClient, type QueryKey } from '@tanstack/react-query';
import { isRecord } from '../wire.ts';
import type { StreamEvent } from './events.ts';
import { addItem, changeItem, idOf } from './items.ts';
import type { CacheUpdateStrategy, KeyStrategy, UpdateStrategy } from './strategies.ts';

/** What a {@link StreamQueryCacheUpdater} needs. */
export interface StreamCacheConfig {
  /** The cache of the application. */
  readonly queryClient: QueryClient;
  /** How entities reach it; several may be for one entity. */
  readonly strategies: readonly CacheUpdateStrategy[];
  onEvent?(event: StreamEvent): void;
  onError?(error: unknown, event: StreamEvent): void;
}

/** Brings what happened to entities into a query cache. What is not cached is left alone. */
export class StreamQueryCacheUpdater {
  readonly #config: StreamCacheConfig;
  #strategies: readonly CacheUpdateStrategy[];

  constructor(config: StreamCacheConfig) {
    this.#config = config;
    this.#strategies = config.strategies;
  }

  addStrategy(strategy: CacheUpdateStrategy): void {
    this.#strategies = [...this.#strategies, strategy];
  }

  /** Forgets every strategy of an entity. */
  removeStrategy(entity: string): void {
    this.#strategies = this.#strategies.filter((strategy) => strategy.entity !== entity);
  }

  processEvent(event: StreamEvent): void {
    this.processEvents([event]);
  }

  /** Takes events together: queries are told once. */
  processEvents(events: readonly StreamEvent[]): void {
    notifyManager.batch(() => {
      for (const event of events) this.#process(event);
    });
  }

  #process(event: StreamEvent): void {
    const { queryClient, onEvent, onError } = this.#config;
    try {
      for (const strategy of this.#strategies) {
        if (strategy.entity !== event.entity) continue;
        if ('updateType' in strategy) applyUpdate(queryClient, strategy, event);
        else applyKeys(queryClient, strategy, event);
      }
      for (const queryKey of event.queryKeys ?? []) void queryClient.invalidateQueries({ queryKey });
      onEvent?.(event);
    } catch (error) {
      if (!onError) throw error;
      onError(error, event);
    }
  }
}

/** Makes a {@link StreamQueryCacheUpdater}. */
export function createStreamCacheUpdater(
  queryClient: QueryClient,
  strategies: readonly CacheUpdateStrategy[] = [],
): StreamQueryCacheUpdater {
  return new StreamQueryCacheUpdater({ queryClient, strategies });
}

function applyUpdate(queryClient: QueryClient, strategy: UpdateStrategy, event: StreamEvent): void {
  const { updateType, queryKey, idKey = 'id', max } = strategy;
  if (event.type === 'invalidate' || (updateType === 'invalidate' && event.type !== 'delete')) {
    void queryClient.invalidateQueries({ queryKey });
    return;
  }
  const data = event.data !== undefined && strategy.transform ? strategy.transform(event.data) : event.data;
  const id = event.id ?? idOf(data, idKey);
  const everywhere = (change: (cached: unknown) => unknown): void => {
    queryClient.setQueriesData({ queryKey }, (cached: unknown) => (cached === undefined ? undefined : change(cached)));
  };
  if (event.type === 'delete') {
    if (id !== undefined) everywhere((cached) => changeItem(cached, id, idKey, () => undefined) ?? cached);
  } else if (updateType === 'append' || updateType === 'prepend') {
    queryClient.setQueryData(queryKey, (cached: unknown) => add(cached, updateType === 'prepend'));
  } else if (updateType !== 'remove' && data !== undefined) {
    everywhere(changed);
  }

  function add(cached: unknown, first: boolean): unknown {
    return cached === undefined ? undefined : addItem(cached, data, idKey, first, max);
  }
  function changed(cached: unknown): unknown {
    if (id === undefined) return isRecord(cached) && isRecord(data) ? newer(cached) : cached;
    const after = changeItem(cached, id, idKey, newer);
    return after === cached && event.type === 'create' ? add(cached, false) : after;
  }
  function newer(item: unknown): unknown {
    return updateType === 'merge' ? mergedWith(item, data) : data;
  }
}

function applyKeys(queryClient: QueryClient, strategy: KeyStrategy, event: StreamEvent): void {
  const id = event.id ?? idOf(event.data, 'id');
  const list = strategy.getListQueryKey();
  const reload = (queryKey: QueryKey): void => void queryClient.invalidateQueries({ queryKey });
  const detail = strategy.getQueryKey(id);
  if (id === undefined || event.type === 'invalidate' || strategy.shouldInvalidate?.(event)) {
    if (id !== undefined) reload(detail);
    reload(list);
    return;
  }
  const isDeleted = event.type === 'delete';
  if (isDeleted) queryClient.removeQueries({ queryKey: detail });
  else queryClient.setQueryData(detail, (old: unknown) => old && merged(old));
  for (const [queryKey, cached] of queryClient.getQueriesData({ queryKey: list })) {
    const after = changeItem(cached, id, 'id', isDeleted ? () => undefined : merged);
    if (after !== cached) queryClient.setQueryData(queryKey, after);
    else if (!isDeleted) reload(queryKey); // it may belong there, and only the server knows where
  }

  function merged(old: unknown): unknown {
    return strategy.merge ? strategy.merge(old, event.data as object) : mergedWith(old, event.data);
  }
}

function mergedWith(old: unknown, data: unknown): unknown {
  return isRecord(old) && isRecord(data) ? { ...old, ...data } : data;
}
