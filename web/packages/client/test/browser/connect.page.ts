import { createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import { ErrorReason, errorInfo, RealtimeService } from '../../src/connect/index.ts';

/** Follows a channel with the generated service, publishes in it, and says what came. */
export async function follow(baseUrl: string): Promise<unknown> {
  const client = createClient(RealtimeService, createConnectTransport({ baseUrl }));
  const stop = new AbortController();
  const got: unknown[] = [];
  for await (const item of client.subscribe(
    { subscriptions: [{ channel: 'test.connect' }] },
    { signal: stop.signal },
  )) {
    if (item.notice.case === 'subscribed')
      await client.publish({
        channel: 'test.connect',
        data: { case: 'payload', value: { kind: { case: 'json', value: '1' } } },
      });
    got.push(item.notice.case ?? item.messages.map(({ payload }) => payload?.kind.value));
    if (item.messages.length > 0) break;
  }
  stop.abort();
  return got;
}

/** Asks for what cannot be, and says why it was refused. */
export async function refused(baseUrl: string): Promise<unknown> {
  const client = createClient(RealtimeService, createConnectTransport({ baseUrl }));
  try {
    await client.publish({ channel: 'not a channel' });
    return undefined;
  } catch (error) {
    return errorInfo(error)?.reason === ErrorReason.INVALID_CHANNEL;
  }
}
