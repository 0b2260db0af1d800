import {
  createContext,
  createElement,
  type ReactElement,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import type { Client, Snapshot } from '../client.ts';
import { isOn } from '../flag.ts';
import type { Undo } from '../listeners.ts';
import type { ConnectionState } from '../states.ts';
import type { RealtimeConfig } from './config.ts';
import { logTo } from './log.ts';
import { type Pooled, pooled, poolKey } from './pool.ts';

/** Props of {@link RealtimeProvider}. */
export interface RealtimeProviderProps {
  readonly children?: ReactNode;
  readonly config?: RealtimeConfig | undefined;
  /** A client of your own, instead of one that the config makes. */
  readonly client?: Client | undefined;
}

/** What {@link useRealtimeContext} gives. The functions stay the same while the state changes. */
export interface RealtimeContextValue {
  readonly connectionState: ConnectionState;
  readonly isConnected: boolean;
  /** Connects, or tries again at once. Nothing if it is connected already, or not enabled. */
  readonly connect: () => void;
  /** Disconnects, and stays so. Providers that share the connection are disconnected with it. */
  readonly disconnect: () => void;
  /** Receives what is published in a channel, until the undo is called. */
  readonly subscribe: <T = unknown>(channel: string, handler: (data: T) => void) => Undo;
  /** Publishes; without a connection, as soon as there is one. */
  readonly send: (channel: string, data: unknown) => void;
  /** Whether there may be a connection. */
  readonly realtimeEnabled: boolean;
  readonly client: Client;
}

type Lasting = Omit<RealtimeContextValue, 'connectionState' | 'isConnected'>;

const Context = createContext<Lasting | undefined>(undefined);

/**
 * Gives its children a connection. Effects make it, so nothing happens on a server; it outlives renders and the double effects of
 * StrictMode, and ends with the last provider that shares it.
 */
export function RealtimeProvider({ children, config = {}, client: own }: RealtimeProviderProps): ReactElement {
  const shared = usePooled(config);
  const client = own ?? shared.client;
  const enabled = useFlag(config.enabled);
  const { autoConnect = true, debug = false } = config;
  const held = useRef<Undo | undefined>(undefined);
  const callbacks = useRef(config);

  const connect = useCallback(() => {
    if (!enabled) return;
    const before = held.current;
    held.current = client.retain();
    before?.();
  }, [client, enabled]);
  const letGo = useCallback(() => {
    held.current?.();
    held.current = undefined;
  }, []);
  const disconnect = useCallback(() => {
    client.disconnect();
    letGo();
  }, [client, letGo]);

  useEffect(() => {
    callbacks.current = shared.config = config;
  });
  useEffect(() => {
    if (autoConnect) connect();
    return letGo;
  }, [autoConnect, connect, letGo]);
  useEffect(() => tell(client, callbacks), [client]);
  useEffect(() => (debug ? logTo(console, client) : undefined), [client, debug]);

  const value = useMemo<Lasting>(
    () => ({
      client,
      connect,
      disconnect,
      subscribe: (channel, handler) => client.subscribe(channel, handler as (data: unknown) => void),
      send: client.send,
      realtimeEnabled: enabled,
    }),
    [client, connect, disconnect, enabled],
  );
  return createElement(Context.Provider, { value }, children);
}

/** The client of a config, the same for as long as it connects to the same. */
function usePooled(config: RealtimeConfig): Pooled {
  const [made, setMade] = useState(() => pooled(config));
  if (made.key === poolKey(config)) return made;
  const next = pooled(config);
  setMade(next);
  return next;
}

const never = (): Undo => () => {};

/** Whether a flag is on, now and whenever it turns. */
function useFlag(flag: RealtimeConfig['enabled']): boolean {
  const get = (): boolean => isOn(flag);
  return useSyncExternalStore(typeof flag === 'object' ? flag.subscribe : never, get, get);
}

/** Tells the config's callbacks of connections. */
function tell(client: Client, config: { readonly current: RealtimeConfig }): Undo {
  let was = false;
  return client.onChange(() => {
    const { state, error } = client.getSnapshot();
    const is = state === 'connected';
    if (is === was) return;
    was = is;
    if (is) config.current.onConnect?.();
    else config.current.onDisconnect?.(error);
  });
}

function useLasting(): Lasting {
  const value = useContext(Context);
  if (!value) throw new Error('no RealtimeProvider around');
  return value;
}

/** The client of the provider around. */
export function useRealtimeClient(): Client {
  return useLasting().client;
}

/** The connection of the provider around. */
export function useRealtimeContext(): RealtimeContextValue {
  const lasting = useLasting();
  const connectionState = useConnection((snapshot) => snapshot.state);
  return useMemo(
    () => ({ ...lasting, connectionState, isConnected: connectionState === 'connected' }),
    [lasting, connectionState],
  );
}

/** The state of the connection, or what is selected of it: a value that stays the same while nothing of it changes. */
export function useConnection(): Snapshot;
export function useConnection<S>(select: (snapshot: Snapshot) => S): S;
export function useConnection(select: (snapshot: Snapshot) => unknown = (snapshot) => snapshot): unknown {
  const client = useRealtimeClient();
  const get = (): unknown => select(client.getSnapshot());
  return useSyncExternalStore(client.onChange, get, get);
}
