import type { QueryKey } from '@tanstack/react-query';
import type { Message } from '../message.ts';

const types = ['create', 'update', 'delete', 'patch', 'invalidate'] as const;

/** What happened to an entity. */
export type StreamEventType = (typeof types)[number];

/** Something that happened to an entity: a user, a post. */
export interface StreamEvent<T = unknown> {
  readonly type: StreamEventType;
  /** Kind of entity, such as `user`. */
  readonly entity: string;
  readonly id?: string | undefined;
  readonly data?: T | undefined;
  /** When, in ISO 8601. */
  readonly timestamp: string;
  /** Queries to load anew besides. */
  readonly queryKeys?: readonly QueryKey[] | undefined;
}

/** Where the events of an entity come, unless its strategy says otherwise. */
export function entityChannel(entity: string): string {
  return `entities.${entity}`;
}

/** The event that a message is, if it is one. In a channel of one entity, a message that is no event is an update. */
export function eventOf({ raw, type, data, time }: Message, ofChannel?: string): StreamEvent | undefined {
  const entity = raw.entity ?? ofChannel;
  if (entity === undefined) return undefined;
  return {
    type: types.find((known) => known === type) ?? 'update',
    entity,
    id: raw.id,
    data: data ?? undefined,
    timestamp: raw.timestamp ?? new Date(time ?? Date.now()).toISOString(),
    queryKeys: raw.queryKeys,
  };
}
