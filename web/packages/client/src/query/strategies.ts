import type { QueryKey } from '@tanstack/react-query';
import type { StreamEvent } from './events.ts';
import { entityChannel } from './events.ts';

/** How entities reach the cache, said by what to do. */
export interface UpdateStrategy {
  /** Kind of entity. */
  readonly entity: string;
  /**
   * `merge` and `replace` change the item whose id is the event's, wherever queries that begin with the key have it: in a list,
   * in `items`, in the `pages` of an infinite query, or alone; created items are added. `append` and `prepend` add to the query
   * of exactly this key, or replace what is there with that id. `remove` removes deleted items. `invalidate` loads anew.
   * A deleted item goes under each of them.
   */
  readonly updateType: 'merge' | 'replace' | 'append' | 'prepend' | 'remove' | 'invalidate';
  readonly queryKey: QueryKey;
  /** Changes the data before it is used. */
  transform?(data: unknown): unknown;
  /** Field of an item that is its id. Default `id`. */
  readonly idKey?: string;
  /** Most items of a list that is added to; those at its other end go. */
  readonly max?: number;
  /** Where the events come. Default `entities.` and the entity. */
  readonly channel?: string;
}

/** How entities reach the cache, said by where they are: one query each, and a list. */
export interface KeyStrategy<T = unknown> {
  readonly entity: string;
  getQueryKey(id?: string): QueryKey;
  getListQueryKey(): QueryKey;
  /** Default: the fields of both, the newer ones first. */
  merge?(old: T | undefined, incoming: Partial<T>): T;
  /** Whether to load anew instead. */
  shouldInvalidate?(event: StreamEvent): boolean;
  readonly channel?: string;
}

/** Either form. */
export type CacheUpdateStrategy<T = unknown> = UpdateStrategy | KeyStrategy<T>;

/** The usual keys: `[entity, id]` and `[entity + 's']`. */
export function createCacheStrategy<T = unknown>(
  entity: string,
  { detailKeyPrefix = entity, listKeyPrefix = `${entity}s` }: { detailKeyPrefix?: string; listKeyPrefix?: string } = {},
): KeyStrategy<T> {
  return {
    entity,
    getQueryKey: (id) => (id === undefined ? [detailKeyPrefix] : [detailKeyPrefix, id]),
    getListQueryKey: () => [listKeyPrefix],
  };
}

/** Where the events of a strategy come. */
export function channelOf(strategy: CacheUpdateStrategy): string {
  return strategy.channel ?? entityChannel(strategy.entity);
}
