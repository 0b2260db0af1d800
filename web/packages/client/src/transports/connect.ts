import { lost, RealtimeError } from '../error.ts';
import type { SubscribeResponseJson } from '../gen/millrace/v1/realtime_service_pb.ts';
import type { Transport } from '../transport.ts';
import { readEnvelopes, toEnvelope } from './envelope.ts';
import { authorization, type HTTPOptions, keepAlive } from './http.ts';
import { type ConnectErrorJson, errorBody, framesOf } from './proto.ts';
import { openStream } from './stream.ts';
import { absolute } from './url.ts';

/** The flag of a stream's last envelope, which has the error if there is one. */
const endOfStream = 2;

/** The `Subscribe` stream of `RealtimeService` over `fetch`, as Connect JSON; what is sent is posted to the server's plain wire. */
export function connectStream(base: string, options: HTTPOptions = {}): Transport {
  return {
    name: 'connect',
    open(context, events) {
      return openStream(
        {
          target: new URL('millrace.v1.RealtimeService/Subscribe', absolute(base.endsWith('/') ? base : `${base}/`)),
          init: {
            method: 'POST',
            headers: { 'content-type': 'application/connect+json', ...authorization(context.token) },
            body: toEnvelope({ sessionToken: context.session, heartbeatInterval: `${keepAlive / 1000}s` }),
          },
          refusal: async ({ status }) => lost(`answered with status ${status}`),
          async read(chunks, uplink) {
            for await (const { flags, value } of readEnvelopes(chunks)) {
              if (flags === endOfStream) {
                const { error } = value as { readonly error?: ConnectErrorJson };
                if (error) throw new RealtimeError(errorBody(error));
                return;
              }
              const item = value as SubscribeResponseJson;
              for (const frame of framesOf(item)) {
                if (item.ready) uplink.ready(frame as Parameters<typeof uplink.ready>[0]);
                else events.frame(frame);
              }
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
