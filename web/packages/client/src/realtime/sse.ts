import type { Undo } from '../listeners.ts';
import { sse } from '../transports/sse.ts';
import { type ClientState, policyOf, type ReconnectConfig, ReconnectingClient } from './states.ts';

export type SSEState = ClientState;

/** Receives the data of an event, and its name: the channel. */
export type SSEMessageHandler = (data: unknown, event?: string) => void;

/** How an {@link SSEClient} connects. */
export interface SSEClientConfig extends ReconnectConfig {
  /** Absolute, or of the page's own origin. */
  readonly url: string;
  /** Whether cookies go to other origins too. Default true. */
  readonly withCredentials?: boolean;
  /** Channels to subscribe to from the beginning; `message` stands for none. Default `['message']`. */
  readonly eventTypes?: readonly string[];
}

/** A stream of Server-Sent Events that comes back. Whoever listens to an event subscribes to the channel of that name. */
export class SSEClient extends ReconnectingClient {
  constructor(config: SSEClientConfig) {
    const { url, withCredentials = true, eventTypes = [] } = config;
    super({
      transports: [sse(url, { credentials: withCredentials ? 'include' : 'omit' })],
      reconnect: policyOf(config),
    });
    for (const type of eventTypes) if (type !== 'message') this.client.subscribe(type, () => {});
  }

  /** Another name of `disconnect`. */
  close(): void {
    this.disconnect();
  }

  /** Receives the events of a name. The first call connects. */
  on(eventType: string, handler: SSEMessageHandler): Undo {
    if (eventType === 'message') return this.onMessage(handler);
    if (this.getState() === 'disconnected') this.connect();
    return this.client.subscribe(eventType, (data) => handler(data, eventType));
  }

  /** Receives every event. */
  onMessage(handler: SSEMessageHandler): Undo {
    return this.client.onMessage(({ data, channel }) => handler(data, channel));
  }
}

/** Makes an {@link SSEClient}, which connects when somebody listens. */
export function createSSEClient(path = '/events', config: Partial<SSEClientConfig> = {}): SSEClient {
  return new SSEClient({ url: path, ...config });
}
