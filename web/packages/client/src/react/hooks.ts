import { useCallback, useEffect, useMemo, useState } from 'react';
import type { Ack } from '../channel.ts';
import type { RealtimeError } from '../error.ts';
import { together, type Undo } from '../listeners.ts';
import type { Handler, Message } from '../message.ts';
import type { Member } from '../presence.ts';
import type { Gap } from '../subscription.ts';
import type { ChannelOptions, PublishOptions } from '../wire.ts';
import { useRealtimeClient } from './provider.ts';
import { createFrameStore, useFrameStore, useLatestRef, useShown } from './store.ts';

/** Options of the hooks of one channel. */
export interface ChannelHookOptions {
  /** What of the channel is wanted. It counts when the client uses the name for the first time. */
  readonly subscription?: ChannelOptions;
  /** Is told what was missed and cannot be had. */
  readonly onGap?: (gap: Gap) => void;
  /** Is told why the server refuses or ends the subscription. */
  readonly onError?: (error: RealtimeError) => void;
}

type Listen = (handler: Handler) => Undo;
const nothing = (): void => {};

/** How to listen to a channel; another function only for another channel. */
function useListen(name: string | null, options: ChannelHookOptions): Listen {
  const client = useRealtimeClient();
  const latest = useLatestRef(options);
  return useCallback(
    (handler) => {
      if (name === null) return nothing;
      const channel = client.channel(name, latest.current.subscription);
      const undo = [
        channel.subscribe(handler),
        channel.onGap((gap) => latest.current.onGap?.(gap)),
        channel.onError((error) => latest.current.onError?.(error)),
      ];
      return together(...undo);
    },
    [client, name, latest],
  );
}

/** Hands each message of a channel to the handler of the last render. `null` listens to nothing. */
export function useChannel<T = unknown>(
  name: string | null,
  handler: Handler<T>,
  options: ChannelHookOptions = {},
): void {
  const listen = useListen(name, options);
  const latest = useLatestRef(handler);
  useEffect(() => listen((data, message) => latest.current(data as T, message as Message<T>)), [listen, latest]);
}

/** What the messages of a channel come to. However many come, it renders once a frame. Another name starts anew. */
export function useChannelState<S, T = unknown>(
  name: string | null,
  reduce: (state: S, data: T, message: Message<T>) => S,
  initial: S,
  options: ChannelHookOptions = {},
): S {
  return useShown(useReduced(name, reduce, initial, options));
}

function useReduced<S, T>(
  name: string | null,
  reduce: (state: S, data: T, message: Message<T>) => S,
  initial: S,
  options: ChannelHookOptions,
) {
  const listen = useListen(name, options);
  const latest = useLatestRef(reduce);
  return useFrameStore(listen, () =>
    createFrameStore(initial, (store) =>
      listen((data, message) => store.update((state) => latest.current(state, data as T, message as Message<T>))),
    ),
  );
}

/** The newest data of a channel. With `{ subscription: { recent: 1 } }` it is there at once. */
export function useLatest<T = unknown>(name: string | null, options?: ChannelHookOptions): T | undefined {
  return useChannelState<T | undefined, T>(name, (_, data) => data, undefined, options);
}

/** The messages of a channel, and how to publish there. */
export interface Messages<T> {
  /** Oldest first. */
  readonly messages: readonly Message<T>[];
  readonly publish: (data: T, options?: PublishOptions) => Promise<Ack>;
  readonly clear: () => void;
}

/** The last messages of a channel: 100, or `max`. */
export function useMessages<T = unknown>(
  name: string | null,
  { max = 100, ...options }: ChannelHookOptions & { readonly max?: number } = {},
): Messages<T> {
  const client = useRealtimeClient();
  const store = useReduced<readonly Message<T>[], T>(
    name,
    (messages, _, message) => [...messages.slice(messages.length < max ? 0 : 1 - max), message],
    [],
    options,
  );
  const messages = useShown(store);
  return useMemo(
    () => ({
      messages,
      publish: (data, how) => client.publish(name ?? '', data, how),
      clear: () => store.update(() => []),
    }),
    [client, name, messages, store],
  );
}

/** How publishing goes. */
export interface Publishing<T> {
  readonly publish: (data: T, options?: PublishOptions) => Promise<Ack>;
  /** Messages without an acknowledgement. */
  readonly pending: number;
  /** Why the last one was refused. */
  readonly error: RealtimeError | undefined;
}

/** Publishes in a channel, and tells how far that is. */
export function usePublish<T = unknown>(name: string): Publishing<T> {
  const client = useRealtimeClient();
  const [pending, setPending] = useState(0);
  const [error, setError] = useState<RealtimeError>();
  const publish = useCallback(
    async (data: T, options?: PublishOptions): Promise<Ack> => {
      setPending((n) => n + 1);
      setError(undefined);
      try {
        return await client.publish(name, data, options);
      } catch (cause) {
        setError(cause as RealtimeError);
        throw cause;
      } finally {
        setPending((n) => n - 1);
      }
    },
    [client, name],
  );
  return { publish, pending, error };
}

/** Who is in a channel. */
export interface Present<P> {
  readonly members: readonly Member<P>[];
  /** How many there are; in a room that is too large to list, all that is known. */
  readonly total: number;
  /** Changes what this client shows of itself. */
  readonly update: (self: P) => void;
}

/** Watches who is in a channel, and is present with `self` while mounted, unless that is `undefined`. */
export function usePresence<P = unknown>(name: string | null, self?: P): Present<P> {
  const client = useRealtimeClient();
  const presence = name === null ? undefined : client.channel(name).presence;
  const store = useFrameStore(presence, () =>
    createFrameStore(
      presence?.getSnapshot(),
      ({ update }) => presence?.onChange(() => update(presence.getSnapshot)) ?? nothing,
    ),
  );
  const text = JSON.stringify(self);
  useEffect(() => (text === undefined ? undefined : presence?.enter(JSON.parse(text))), [presence, text]);
  const snapshot = useShown(store);
  return useMemo(
    () => ({
      members: (snapshot?.members ?? []) as readonly Member<P>[],
      total: snapshot?.total ?? 0,
      update: (data) => presence?.update(data),
    }),
    [presence, snapshot],
  );
}

/** Who is typing. */
export interface Typing {
  /** Others who typed in the last seconds. */
  readonly typing: readonly string[];
  /** To be called at each input. It tells the others at most once a second. */
  readonly onInput: () => void;
}

/** How long somebody types after an input, and how often that is told, in milliseconds. */
const typingFor = 3000;
const typingEvery = 1000;

/** Tells who else is typing, with ephemeral messages of type `typing` in the channel itself: `{ type: 'typing', userId }`. */
export function useTyping(name: string, userId: string): Typing {
  const client = useRealtimeClient();
  const [typing, setTyping] = useState<readonly string[]>([]);
  const timers = useMemo(() => new Map<string, ReturnType<typeof setTimeout>>(), []);
  const last = useMemo(() => ({ told: 0 }), []);
  const stop = useCallback(
    (id: string) => {
      clearTimeout(timers.get(id));
      timers.delete(id);
      setTyping([...timers.keys()]);
    },
    [timers],
  );
  useChannel<{ readonly type?: unknown; readonly userId?: unknown } | null>(name, (data, message) => {
    const id = data?.userId;
    if (data?.type !== 'typing' || message.self || typeof id !== 'string' || id === userId) return;
    clearTimeout(timers.get(id));
    timers.set(
      id,
      setTimeout(() => stop(id), typingFor),
    );
    setTyping([...timers.keys()]);
  });
  useEffect(
    () => () => {
      for (const id of timers.keys()) clearTimeout(timers.get(id));
      timers.clear();
    },
    [timers],
  );
  const onInput = useCallback(() => {
    if (Date.now() - last.told < typingEvery) return;
    last.told = Date.now();
    client.publish(name, { type: 'typing', userId }, { ephemeral: true }).catch(nothing);
  }, [client, name, userId, last]);
  return { typing, onInput };
}
