import { fromBody, RealtimeError } from '../error.ts';
import type { Transport } from '../transport.ts';
import { isRecord, parseFrame } from '../wire.ts';
import { readEvents, type StreamEvent } from './eventstream.ts';
import { asError, authorization, errorOf, type HTTPOptions } from './http.ts';
import { createUplink } from './uplink.ts';
import { absolute } from './url.ts';

/** Options of the transport. */
export interface SSEOptions extends HTTPOptions {
  /** Where the Connect calls go that subscribe and publish. Default: the root of the stream's host. */
  readonly api?: string;
}

/**
 * Server-Sent Events, read with `fetch` so that a token goes in a header, for networks where a WebSocket does not pass.
 * What is sent goes as Connect calls.
 */
export function sse(url: string, options: SSEOptions = {}): Transport {
  return {
    name: 'sse',
    open(context, events) {
      const target = absolute(url);
      const abort = new AbortController();
      const uplink = createUplink(new URL(options.api ?? '/', target), options, context, events, abort);
      target.searchParams.set('format', 'envelope');
      if (context.session) target.searchParams.set('session', context.session);

      function event({ event: name, data }: StreamEvent): void {
        if (name === 'message') {
          const frame = parseFrame(data);
          if (frame) uplink.frame(frame);
          return;
        }
        const body: unknown = JSON.parse(data);
        const type = name.replace('millrace.', '');
        if (!isRecord(body)) return;
        if (type === 'ready') uplink.ready(String(body.sessionToken));
        else if (type === 'error') throw fromBody(body);
        else {
          const frame = parseFrame(JSON.stringify({ ...body, type }));
          if (frame) uplink.frame(frame);
        }
      }

      async function run(): Promise<void> {
        const response = await fetch(target, {
          headers: { accept: 'text/event-stream', ...authorization(context.token) },
          credentials: options.credentials ?? 'same-origin',
          cache: 'no-store',
          signal: abort.signal,
        });
        if (!response.ok || !response.body) throw await errorOf(response);
        await readEvents(response.body, { event, alive: events.alive });
        throw new RealtimeError({ reason: 'CONNECTION_LOST', message: 'the stream ended' });
      }
      run().catch((cause: unknown) => {
        if (abort.signal.aborted) return;
        events.closed(asError(cause));
        abort.abort();
      });
      return { buffered: 0, send: uplink.send, close: uplink.close };
    },
  };
}
