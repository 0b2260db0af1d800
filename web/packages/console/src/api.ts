import type {
  GetChannelResponseJson,
  GetNodeResponseJson,
  GetSessionResponseJson,
  ListChannelsRequestJson,
  ListChannelsResponseJson,
  ListSessionsRequestJson,
  ListSessionsResponseJson,
  SampleJson,
  WatchSamplesResponseJson,
} from '@millrace/client/gen/millrace/v1/admin_service_pb.ts';
import { readEnvelopes, toEnvelope } from '@millrace/client/transports/envelope.ts';
import { authorization } from '@millrace/client/transports/http.ts';
import { connectError } from './error.ts';

/** What administrative calls answer with, by method. Fields that are zero are left out. */
interface Methods {
  GetNode: [object, GetNodeResponseJson];
  ListSessions: [ListSessionsRequestJson, ListSessionsResponseJson];
  GetSession: [{ session: string }, GetSessionResponseJson];
  ListChannels: [ListChannelsRequestJson, ListChannelsResponseJson];
  GetChannel: [{ channel: string }, GetChannelResponseJson];
  Disconnect: [{ session?: string; user?: string; message?: string }, { sessions?: number }];
  Unsubscribe: [{ session?: string; user?: string; channel: string }, { sessions?: number }];
  Kick: [{ user: string; duration?: string; message?: string }, { sessions?: number }];
  Revoke: [{ user?: string; tokenId?: string; remember?: string }, { sessions?: number }];
}

/** The administrative calls of the node that served the page, as Connect JSON. */
export interface API {
  /** Credentials, for the other service. */
  readonly token: string;
  call<M extends keyof Methods>(method: M, request: Methods[M][0], signal?: AbortSignal): Promise<Methods[M][1]>;
  /** Each value is one or more samples, oldest first. It ends with an error, or with the signal. */
  samples(signal: AbortSignal): AsyncGenerator<readonly SampleJson[]>;
}

const service = new URL('/millrace.v1.AdminService/', location.href);
const endOfStream = 2;

/** Makes the calls with a token; an empty one is none. */
export function createAPI(token: string): API {
  async function post(method: string, type: string, body: BodyInit, signal?: AbortSignal): Promise<Response> {
    const response = await fetch(new URL(method, service), {
      method: 'POST',
      headers: { 'content-type': type, ...authorization(token) },
      body,
      credentials: 'omit',
      ...(signal && { signal }),
    });
    if (!response.ok) throw connectError(await response.json().catch(() => undefined), response.status);
    return response;
  }
  return {
    token,
    async call(method, request, signal) {
      const response = await post(method, 'application/json', JSON.stringify(request), signal);
      return await response.json();
    },
    async *samples(signal) {
      const response = await post('WatchSamples', 'application/connect+json', toEnvelope({}), signal);
      if (!response.body) return;
      for await (const { flags, value } of readEnvelopes(response.body)) {
        if (flags === endOfStream) throw connectError((value as { error?: unknown }).error);
        yield (value as WatchSamplesResponseJson).samples ?? [];
      }
    },
  };
}
