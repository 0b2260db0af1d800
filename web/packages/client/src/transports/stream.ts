import { lost, type RealtimeError } from '../error.ts';
import type { Link, LinkContext, LinkEvents } from '../transport.ts';
import { asError, errorOf, type HTTPOptions } from './http.ts';
import { createUplink, type Uplink } from './uplink.ts';

/** A stream over `fetch`. */
export interface Stream {
  readonly target: URL;
  readonly init: RequestInit;
  /** Takes what comes, until it ends; an error that it throws says why. */
  read(chunks: AsyncIterable<Uint8Array>, uplink: Uplink): Promise<void>;
  /** The error of a refusal, if it is not in the usual form. */
  refusal?(response: Response): Promise<RealtimeError>;
}

/** Opens a link over a stream: what comes is read from it, what is sent is posted beside it. */
export function openStream(
  { target, init, read, refusal = errorOf }: Stream,
  { credentials = 'same-origin', api = '/ws' }: HTTPOptions,
  context: LinkContext,
  events: LinkEvents,
): Link {
  const abort = new AbortController();
  const uplink = createUplink(new URL(api, target), credentials, context, events, abort);

  async function run(): Promise<void> {
    const response = await fetch(target, { ...init, credentials, signal: abort.signal });
    if (!response.ok || !response.body) throw await refusal(response);
    await read(chunks(response.body, events.alive), uplink);
    throw lost('the stream ended');
  }
  run().catch((cause: unknown) => {
    if (abort.signal.aborted) return;
    events.closed(asError(cause));
    abort.abort();
  });
  return { buffered: 0, send: uplink.send, close: uplink.close };
}

/** The pieces of a body. Not every browser can loop over a stream. */
async function* chunks(body: ReadableStream<Uint8Array>, alive: () => void): AsyncGenerator<Uint8Array> {
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    alive();
    yield value;
  }
}
