import { RealtimeError } from '../error.ts';
import type { Transport } from '../transport.ts';
import { isFrame, parseRecord } from '../wire.ts';
import { readEvents } from './eventstream.ts';
import { authorization, type HTTPOptions, keepAlive } from './http.ts';
import { openStream } from './stream.ts';
import { absolute } from './url.ts';

/**
 * Server-Sent Events, read with `fetch` so that a token goes in a header, for networks where a WebSocket does not pass.
 * What is sent is posted to the server's plain wire.
 */
export function sse(url: string, options: HTTPOptions = {}): Transport {
  return {
    name: 'sse',
    open(context, events) {
      const target = absolute(url);
      const query = target.searchParams;
      query.set('format', 'envelope');
      query.set('heartbeat', String(keepAlive));
      if (context.session) query.set('session', context.session);
      return openStream(
        {
          target,
          init: { headers: { accept: 'text/event-stream', ...authorization(context.token) }, cache: 'no-store' },
          async read(chunks, uplink) {
            for await (const { event, data } of readEvents(chunks)) {
              const body = parseRecord(data);
              if (!body) continue;
              const type = event.replace('millrace.', '');
              const frame = event === 'message' ? body : { ...body, type };
              if (type === 'ready') uplink.ready(body);
              else if (type === 'error') throw new RealtimeError(body);
              else if (isFrame(frame)) events.frame(frame);
            }
          },
        },
        options,
        context,
        events,
      );
    },
  };
}
