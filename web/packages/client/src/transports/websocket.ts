import { RealtimeError, reasonOfClose } from '../error.ts';
import type { LinkContext, Transport } from '../transport.ts';
import { type ErrorBody, isRecord, parseFrame } from '../wire.ts';
import { absolute } from './url.ts';

/** A WebSocket class: that of browsers, or one with Node's second argument. */
export type WebSocketClass = new (url: string, options?: { readonly headers: Record<string, string> }) => WebSocket;

/** Options of the transport. */
export interface WebSocketOptions {
  /** Which class to use. Default: the global one. */
  readonly WebSocket?: WebSocketClass;
}

/** Not 1000, by which a client says goodbye: the server keeps its presence for a while. */
const abandoned = 3000;

/**
 * The plain WebSocket wire. The URL may be relative, and `http(s)` or `ws(s)`. A page cannot give a WebSocket a header: there
 * the token goes as the cookie `millrace_token`, which reaches servers of the page's own host only.
 */
export function websocket(url: string, options: WebSocketOptions = {}): Transport {
  return {
    name: 'websocket',
    open(context, events) {
      const socket = dial(url, options, context);
      let live = true;
      const end = (body: ErrorBody & { readonly reason: string }): void => {
        if (live) events.closed(new RealtimeError(body));
        live = false;
      };
      const send = (value: unknown): void => socket.send(JSON.stringify(value));
      socket.onopen = () => {
        if (!live) return;
        send({ type: 'hello' });
        for (const command of context.subscriptions) send(command);
        events.opened();
      };
      socket.onmessage = ({ data }) => {
        const frame = typeof data === 'string' ? parseFrame(data) : undefined;
        if (!live) return;
        if (frame) events.frame(frame);
        else events.alive();
      };
      socket.onclose = ({ code, reason }) =>
        end({ ...hints(reason), reason: reasonOfClose(code) ?? 'CONNECTION_LOST', message: `closed with ${code}` });
      socket.onerror = () => end({ reason: 'CONNECTION_LOST' });
      return {
        get buffered() {
          return socket.bufferedAmount;
        },
        send,
        close(leave) {
          live = false;
          socket.close(leave ? 1000 : abandoned);
        },
      };
    },
  };
}

function dial(url: string, options: WebSocketOptions, { token, session }: LinkContext): WebSocket {
  const Socket: WebSocketClass = options.WebSocket ?? (WebSocket as WebSocketClass);
  const target = absolute(url);
  target.protocol = target.protocol.replace('http', 'ws');
  if (session) target.searchParams.set('session', session);
  if (!token) return new Socket(target.href);
  if (typeof document === 'undefined')
    return new Socket(target.href, { headers: { authorization: `Bearer ${token}` } });
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is asynchronous, and not everywhere
  document.cookie = `millrace_token=${token}; path=${target.pathname}; samesite=strict${target.protocol === 'wss:' ? '; secure' : ''}`;
  return new Socket(target.href);
}

/** What the server says in the reason of a close frame. */
function hints(text: string): ErrorBody {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) && typeof value.retryAfter === 'number' ? { retryAfter: value.retryAfter } : {};
  } catch {
    return {};
  }
}
