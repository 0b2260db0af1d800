import { RealtimeError } from '../error.ts';
import type { Transport } from '../transport.ts';
import { isRecord } from '../wire.ts';
import { readEnvelopes, toEnvelope } from './envelope.ts';
import { asError, authorization, errorOf, fromValue, type HTTPOptions } from './http.ts';
import { framesOf, type ProtoItem } from './proto.ts';
import { createUplink } from './uplink.ts';
import { absolute } from './url.ts';

/** The flag of a stream's last envelope, which has the error if there is one. */
const endOfStream = 2;

/** The `Subscribe` stream of `RealtimeService` over `fetch`, as Connect JSON; what is sent goes as Connect calls to the same base. */
export function connectStream(base: string, options: HTTPOptions = {}): Transport {
  return {
    name: 'connect',
    open(context, events) {
      const root = absolute(base.endsWith('/') ? base : `${base}/`);
      const abort = new AbortController();
      const uplink = createUplink(root, options, context, events, abort);

      function item(value: ProtoItem): void {
        if (value.ready) uplink.ready(value.ready.sessionToken ?? '');
        else for (const frame of framesOf(value)) uplink.frame(frame);
      }

      async function run(): Promise<void> {
        const response = await fetch(new URL('millrace.v1.RealtimeService/Subscribe', root), {
          method: 'POST',
          headers: { 'content-type': 'application/connect+json', ...authorization(context.token) },
          body: toEnvelope({ sessionToken: context.session }),
          credentials: options.credentials ?? 'same-origin',
          signal: abort.signal,
        });
        if (!response.ok || !response.body) throw await errorOf(response);
        for await (const { flags, value } of readEnvelopes(response.body)) {
          events.alive();
          if (flags === endOfStream) throw isRecord(value.error) ? fromValue(value.error) : ended();
          item(value);
        }
        throw ended();
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

function ended(): RealtimeError {
  return new RealtimeError({ reason: 'CONNECTION_LOST', message: 'the stream ended' });
}
