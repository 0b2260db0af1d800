import { RealtimeError } from '../error.ts';
import type { Transport } from '../transport.ts';
import { parseFrame, parseRecord } from '../wire.ts';
import { absolute } from './url.ts';

/** A WebSocket class. */
export type WebSocketClass = new (url: string) => WebSocket;

/** Options of the transport. */
export interface WebSocketOptions {
  /** Which class to use. Default: the global one. */
  readonly WebSocket?: WebSocketClass;
}

/** Not 1000, by which a client says goodbye: the server keeps its presence for a while. */
const abandoned = 3000;

/**
 * The plain WebSocket wire. The URL may be relative, and `http(s)` or `ws(s)`. A token goes in the first frame, because a page cannot
 * give a WebSocket a header, and an address is no place for it.
 */
export function websocket(url: string, options: WebSocketOptions = {}): Transport {
  return {
    name: 'websocket',
    open({ token, session, subscriptions }, events) {
      const target = absolute(url);
      target.protocol = target.protocol.replace('http', 'ws');
      if (session) target.searchParams.set('session', session);
      if (token) target.searchParams.set('auth', 'frame');
      const socket = new (options.WebSocket ?? WebSocket)(target.href);
      let live = true;
      // What a socket that closes does not take is sent again by the next one; a browser would complain of it.
      const send = (value: unknown): void => {
        if (socket.readyState === 1) socket.send(JSON.stringify(value));
      };
      socket.onopen = () => {
        if (!live) return;
        if (token) send({ type: 'auth', id: 0, token });
        for (const command of [{ type: 'hello' }, ...subscriptions]) send(command);
      };
      socket.onmessage = ({ data }) => {
        const frame = typeof data === 'string' ? parseFrame(data) : undefined;
        if (!live) return;
        if (frame) events.frame(frame);
        else events.alive();
        if (frame?.type === 'hello') events.opened();
      };
      // In a close frame the server says why, as JSON.
      socket.onclose = ({ code, reason }) => {
        if (!live) return;
        const body = { reason: 'CONNECTION_LOST', message: `closed with ${code}`, ...parseRecord(reason) };
        events.closed(new RealtimeError(body));
      };
      socket.onerror = () => {}; // a close follows; and some classes throw an error that nobody listens to
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
