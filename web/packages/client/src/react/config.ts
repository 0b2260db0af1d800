import type { ClientOptions } from '../client.ts';
import type { ConnectionOptions } from '../connection.ts';
import type { RealtimeError } from '../error.ts';
import type { FlagSource } from '../flag.ts';
import type { Transport } from '../transport.ts';
import { sse } from '../transports/sse.ts';
import { websocket } from '../transports/websocket.ts';

/** How a provider connects. It may be written in place: another object with the same content changes nothing. */
export interface RealtimeConfig {
  /**
   * The wire. Default `websocket`. `auto` is a WebSocket, or where that does not pass Server-Sent Events, from the same URL with
   * `/events` for `/ws`.
   */
  readonly type?: 'websocket' | 'sse' | 'auto' | undefined;
  /** Absolute, or of the page's own origin. Default `/ws`, for `sse` `/events`. */
  readonly url?: string | undefined;
  /** Connect when mounted. Default true. */
  readonly autoConnect?: boolean | undefined;
  /** Whether there is any connection at all. A flag may change its mind. Default true. */
  readonly enabled?: boolean | FlagSource | undefined;
  /** Token, or a function that gets one. */
  readonly token?: ConnectionOptions['token'] | undefined;
  /** When to try again. Default: the schedule of `backoff()`. It is taken once, as are `queue` and `transports`. */
  readonly reconnect?: ConnectionOptions['reconnect'] | undefined;
  /** What waits while there is no connection. */
  readonly queue?: ClientOptions['queue'] | undefined;
  /** Own transports instead of `type` and `url`. */
  readonly transports?: readonly Transport[] | undefined;
  /** Providers of a page with the same type, URL and pool share one connection; `false` shares it with nobody. Default `''`. */
  readonly pool?: string | false | undefined;
  /** Tell the console of states, messages and errors. */
  readonly debug?: boolean | undefined;
  onConnect?(): void;
  onDisconnect?(error?: RealtimeError): void;
}

/** The options of a client for a config; `current` is what it is later, for what may change. */
export function clientOptions(config: RealtimeConfig, current: () => RealtimeConfig): ClientOptions {
  return {
    ...config,
    transports: transportsOf(config),
    ...(config.token !== undefined && {
      token: (request) => {
        const { token: now = '' } = current();
        return typeof now === 'function' ? now(request) : now;
      },
    }),
  };
}

function transportsOf({
  type,
  url = type === 'sse' ? '/events' : '/ws',
  transports,
}: RealtimeConfig): readonly Transport[] {
  if (transports) return transports;
  if (type === 'sse') return [sse(url)];
  const socket = websocket(url);
  return type === 'auto' ? [socket, sse(url.replace(/^ws/, 'http').replace(/\/ws(\/.*)?$/, '/events'))] : [socket];
}
