import type { QueryFunctionContext, QueryKey } from '@tanstack/react-query';
import type { Client } from '../client.ts';
import { type ChannelQuery, followFor } from './follow.ts';

/** Options for `useQuery` and its kin. */
export interface ChannelQueryOptions<T> {
  readonly queryKey: QueryKey;
  readonly queryFn: (context: QueryFunctionContext) => Promise<T>;
  readonly staleTime: number;
}

/**
 * A query that is loaded once and then follows a channel: nothing is missed between the data and the first message, messages of a
 * frame are applied together, and after a gap it is loaded anew. It follows for as long as it is cached.
 */
export function channelQuery<T, M = unknown>(client: Client, options: ChannelQuery<T, M>): ChannelQueryOptions<T> {
  return {
    queryKey: options.queryKey,
    queryFn: ({ client: queryClient, signal }) => followFor(client, queryClient, options).load(signal),
    staleTime: Number.POSITIVE_INFINITY,
  };
}
