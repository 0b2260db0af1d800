import type { Client } from '../client.ts';
import type { RealtimeError } from '../error.ts';
import type { Undo } from '../listeners.ts';
import { backoff, type ReconnectPolicy } from '../retry.ts';
import type { ConnectionState } from '../states.ts';

/** The states of the classes here. One that gave up, or was refused, is disconnected. */
export type ClientState = Exclude<ConnectionState, 'error'>;

/** An `error` event, with the reason in `error`. */
export type RealtimeErrorEvent = Event & { readonly error: RealtimeError };

/** How the classes here come back. */
export interface ReconnectConfig {
  /** Whether to come back at all. Default true. */
  readonly reconnect?: boolean;
  /** First delay, in milliseconds. Default 3000; each is 1.5 times the one before, at most 30 s. */
  readonly reconnectInterval?: number;
  /**
   * How often to try in a row. Default 10. After that it tries again when the network comes back or the page is shown.
   */
  readonly maxReconnectAttempts?: number;
}

export function policyOf({
  reconnect = true,
  reconnectInterval = 3000,
  maxReconnectAttempts = 10,
}: ReconnectConfig): ReconnectPolicy {
  return backoff({ initial: reconnectInterval, attempts: reconnect ? maxReconnectAttempts : 0 });
}

/** The state of a client. */
export function stateOf(client: Client): ClientState {
  const { state } = client.getSnapshot();
  return state === 'error' ? 'disconnected' : state;
}

/** Tells of each other state. */
export function onState(client: Client, handler: (state: ClientState) => void): Undo {
  let last = stateOf(client);
  return client.onChange(() => {
    const state = stateOf(client);
    if (state === last) return;
    last = state;
    handler(state);
  });
}

/** Tells of each lost connection, and of whatever is refused. */
export function onErrorEvent(client: Client, handler: (event: RealtimeErrorEvent) => void): Undo {
  let last: unknown;
  const tell = (error: RealtimeError): void => {
    if (error === last) return;
    last = error;
    handler(Object.assign(new Event('error'), { error }));
  };
  const undo = [
    client.onError(tell),
    client.onChange(() => {
      const { error } = client.getSnapshot();
      if (error) tell(error);
    }),
  ];
  return () => {
    for (const each of undo) each();
  };
}
