import { type QueryKey, type UseMutationResult, useMutation, useQueryClient } from '@tanstack/react-query';
import type { Ack } from '../channel.ts';
import { useRealtimeClient } from '../react/provider.ts';
import { followOf } from './follow.ts';

/** What {@link useRealtimeMutation} needs. */
export interface RealtimeMutation<T, V> {
  readonly channel: string;
  /** Key of a `channelQuery`. */
  readonly queryKey: QueryKey;
  /** What the data will be once the message is published. It must not change `data` itself. */
  optimistic(data: T, value: V): T;
}

/**
 * Publishes, and shows the outcome before the server has confirmed it. The message itself takes its place when it comes, in its
 * right order; if it is refused, the change is taken back. Without a connection it waits for one.
 */
export function useRealtimeMutation<T, V>({
  channel,
  queryKey,
  optimistic,
}: RealtimeMutation<T, V>): UseMutationResult<Ack, Error, V> {
  const client = useRealtimeClient();
  const queryClient = useQueryClient();
  return useMutation<Ack, Error, V>({
    networkMode: 'always',
    mutationFn: async (value) => {
      const messageId = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
      const guess = followOf(queryClient, queryKey)?.guess(messageId, (data) => optimistic(data as T, value));
      try {
        const ack = await client.publish(channel, value, { messageId });
        guess?.confirmed();
        return ack;
      } catch (error) {
        guess?.undo();
        throw error;
      }
    },
  });
}
