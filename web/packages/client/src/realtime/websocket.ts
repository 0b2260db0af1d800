import type { Undo } from '../listeners.ts';
import { websocket } from '../transports/websocket.ts';
import { isRecord } from '../wire.ts';
import { type ClientState, policyOf, type ReconnectConfig, ReconnectingClient } from './states.ts';

export type WebSocketState = ClientState;

/** How a {@link WebSocketClient} connects. */
export interface WebSocketClientConfig extends ReconnectConfig {
  /** Absolute, or of the page's own origin. */
  readonly url: string;
  /** How long to hear nothing before asking, in milliseconds. Default 30 s. Without an answer in 10 s it comes back. */
  readonly heartbeatInterval?: number;
  /** Sub-protocols to ask for. None are needed. */
  readonly protocols?: string | string[];
}

/** Frames that wait for a connection, at most. */
const longestQueue = 256;

/** A WebSocket that comes back. What is sent or subscribed to while it is away is so when it is back. */
export class WebSocketClient extends ReconnectingClient {
  readonly #socket: () => WebSocket | undefined;
  #frames: string[] = [];

  constructor(config: WebSocketClientConfig) {
    const { url, heartbeatInterval = 30_000, protocols } = config;
    let socket: WebSocket | undefined; // the one that was opened last
    const Socket = class extends WebSocket {
      constructor(to: string) {
        super(to, protocols);
        this.addEventListener('open', () => {
          socket = this;
        });
      }
    };
    super({
      transports: [websocket(url, { WebSocket: Socket })],
      reconnect: policyOf(config),
      heartbeat: { interval: heartbeatInterval },
    });
    this.#socket = () => socket;
    this.client.onChange(() => {
      if (this.isConnected()) this.#flush();
    });
  }

  /** Sends a frame: a text as it is, else JSON. `{ channel, data }` publishes, as {@link sendToChannel} does. */
  send(frame: unknown): void {
    if (isRecord(frame) && typeof frame.channel === 'string' && frame.type === undefined) {
      this.sendToChannel(frame.channel, frame.data);
      return;
    }
    this.#frames.push(typeof frame === 'string' ? frame : JSON.stringify(frame));
    this.#frames.splice(0, this.#frames.length - longestQueue);
    if (this.isConnected()) this.#flush();
  }

  /** Publishes in a channel. */
  sendToChannel(channel: string, data: unknown): void {
    this.client.send(channel, data);
  }

  /** Receives every message as it came: `{ channel, data, … }`. */
  onMessage(handler: (frame: unknown) => void): Undo {
    return this.client.onMessage(({ raw }) => handler(raw));
  }

  /** Receives the data of a channel. */
  subscribe(channel: string, handler: (data: unknown) => void): Undo {
    return this.client.subscribe(channel, (data) => handler(data));
  }

  #flush(): void {
    for (const frame of this.#frames.splice(0)) this.#socket()?.send(frame);
  }
}

/** Makes a {@link WebSocketClient} that is not connected. */
export function createWebSocketClient(path = '/ws', config: Partial<WebSocketClientConfig> = {}): WebSocketClient {
  return new WebSocketClient({ url: path, ...config });
}
