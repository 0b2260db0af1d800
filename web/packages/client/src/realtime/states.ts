import { type Client, type ClientOptions, createClient } from '../client.ts';
import type { RealtimeError } from '../error.ts';
import { together, type Undo } from '../listeners.ts';
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

/** What the classes here have in common. */
export class ReconnectingClient {
  /** The client behind it. */
  protected readonly client: Client;

  constructor(options: ClientOptions) {
    this.client = createClient(options);
  }

  getState(): ClientState {
    const { state } = this.client.getSnapshot();
    return state === 'error' ? 'disconnected' : state;
  }

  isConnected(): boolean {
    return this.getState() === 'connected';
  }

  connect(): void {
    this.client.connect();
  }

  disconnect(): void {
    this.client.disconnect();
  }

  /** Is told of each other state. */
  onStateChange(handler: (state: ClientState) => void): Undo {
    let last = this.getState();
    return this.client.onChange(() => {
      const state = this.getState();
      if (state === last) return;
      last = state;
      handler(state);
    });
  }

  /** Is told of each lost connection, and of whatever the server refuses. */
  onError(handler: (event: RealtimeErrorEvent) => void): Undo {
    let last: unknown;
    const tell = (error: RealtimeError | undefined): void => {
      if (!error || error === last) return;
      last = error;
      handler(Object.assign(new Event('error'), { error }));
    };
    const undo = [this.client.onError(tell), this.client.onChange(() => tell(this.client.getSnapshot().error))];
    return together(...undo);
  }
}
