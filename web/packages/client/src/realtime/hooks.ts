import { useCallback, useEffect, useMemo, useState } from 'react';
import { together } from '../listeners.ts';
import { useRealtimeClient, useRealtimeContext } from '../react/provider.ts';
import { createFrameStore, useFrameStore, useLatestRef, useShown } from '../react/store.ts';
import { isRecord } from '../wire.ts';

/** Options of the stream hooks. */
export interface UseRealtimeStreamOptions<T = unknown> {
  /** Default true. */
  readonly enabled?: boolean;
  /** Receives each message. */
  readonly onMessage?: (data: T) => void;
  /** Is told why the channel is refused, or what `transform` threw. */
  readonly onError?: (error: Error) => void;
  /** Makes of the data what is shown. */
  readonly transform?: (data: unknown) => T;
  /** Most messages to keep. Default 1,000. */
  readonly maxMessages?: number;
}

/** What a stream hook gives. */
export interface UseRealtimeStreamResult<T> {
  readonly isConnected: boolean;
  readonly lastMessage: T | null;
  /** Oldest first. */
  readonly messages: readonly T[];
  readonly send: (data: unknown) => void;
  readonly clear: () => void;
}

/** A message and its channel. */
interface Entry<T> {
  readonly channel: string;
  readonly data: T;
}

interface Stream<T> {
  readonly isConnected: boolean;
  readonly entries: readonly Entry<T>[];
  readonly clear: () => void;
}

/** The messages of channels, in the order of their arrival. They are shown at most once in `every` milliseconds, or once a frame. */
function useStream<T>(channels: readonly string[], options: UseRealtimeStreamOptions<T>, every = 0): Stream<T> {
  const { client, isConnected } = useRealtimeContext();
  const { enabled = true, maxMessages = 1000 } = options;
  const latest = useLatestRef(options);
  const names = enabled ? [...new Set(channels)].join('\n') : '';
  const key = useMemo(() => ({ client, names }), [client, names]);
  const store = useFrameStore(key, () =>
    createFrameStore<readonly Entry<T>[]>(
      [],
      ({ update }) => {
        const take = (channel: string, raw: unknown): void => {
          const { transform, onMessage, onError } = latest.current;
          let data = raw as T;
          try {
            if (transform) data = transform(raw);
          } catch (error) {
            onError?.(error as Error);
            return;
          }
          update((entries) => [
            ...entries.slice(entries.length < maxMessages ? 0 : 1 - maxMessages),
            { channel, data },
          ]);
          onMessage?.(data);
        };
        const undo = (names ? names.split('\n') : []).flatMap((name) => [
          client.subscribe(name, (data) => take(name, data)),
          client.channel(name).onError((error) => latest.current.onError?.(error)),
        ]);
        return together(...undo);
      },
      every,
    ),
  );
  const clear = useCallback(() => store.update(() => []), [store]);
  return { isConnected, entries: useShown(store), clear };
}

function useResult<T>(channel: string, { isConnected, entries, clear }: Stream<T>): UseRealtimeStreamResult<T> {
  const client = useRealtimeClient();
  const messages = useMemo(() => entries.map((entry) => entry.data), [entries]);
  const send = useCallback((data: unknown) => client.send(channel, data), [client, channel]);
  return { isConnected, lastMessage: messages.at(-1) ?? null, messages, send, clear };
}

/** The messages of a channel. The channel may also be given with the options: `useRealtimeStream({ channel })`. */
export function useRealtimeStream<T = unknown>(
  channel: string | (UseRealtimeStreamOptions<T> & { readonly channel: string }),
  options: UseRealtimeStreamOptions<T> = {},
): UseRealtimeStreamResult<T> {
  const { channel: name, ...rest } = typeof channel === 'string' ? { channel, ...options } : channel;
  return useResult(name, useStream([name], rest));
}

/** As {@link useRealtimeStream}, but what comes is shown at most once in `bufferMs` milliseconds. */
export function useBufferedRealtimeStream<T = unknown>(
  channel: string,
  bufferMs = 100,
  options: UseRealtimeStreamOptions<T> = {},
): UseRealtimeStreamResult<T> {
  return useResult(channel, useStream([channel], options, bufferMs));
}

/** The messages of several channels. */
export interface UseMultiRealtimeStreamResult<T> {
  readonly isConnected: boolean;
  readonly channelCount: number;
  /** Of all channels, in the order of their arrival. */
  readonly messages: readonly T[];
  readonly byChannel: Readonly<Record<string, readonly T[]>>;
  readonly clear: () => void;
}

/** The messages of several channels. */
export function useMultiRealtimeStream<T = unknown>(
  channels: readonly string[],
  options: UseRealtimeStreamOptions<T> = {},
): UseMultiRealtimeStreamResult<T> {
  const { entries, isConnected, clear } = useStream(channels, options);
  const channelCount = channels.length;
  return useMemo(() => {
    const byChannel: Record<string, T[]> = {};
    for (const { channel, data } of entries) {
      byChannel[channel] ??= [];
      byChannel[channel].push(data);
    }
    return { isConnected, channelCount, messages: entries.map((entry) => entry.data), byChannel, clear };
  }, [isConnected, entries, clear, channelCount]);
}

/** The connection of the provider around. */
export function useRealtimeConnection(): Pick<
  ReturnType<typeof useRealtimeContext>,
  'connectionState' | 'isConnected' | 'connect' | 'disconnect'
> {
  return useRealtimeContext();
}

/** Who is in a room, from the messages `sync`, `join` and `leave` of the channel `presence:` and its name. */
export function useRealtimePresence(channel: string): { readonly users: readonly string[]; readonly count: number } {
  const client = useRealtimeClient();
  const [users, setUsers] = useState<readonly string[]>([]);
  useEffect(() => {
    setUsers([]);
    return client.subscribe(`presence:${channel}`, (data) => {
      if (!isRecord(data)) return;
      const { type, userId, users: all } = data;
      if (type === 'sync' && Array.isArray(all)) setUsers([...new Set(all.map(String))]);
      else if (type === 'join') setUsers((now) => [...new Set([...now, String(userId)])]);
      else if (type === 'leave') setUsers((now) => now.filter((user) => user !== String(userId)));
    });
  }, [client, channel]);
  return { users, count: users.length };
}
