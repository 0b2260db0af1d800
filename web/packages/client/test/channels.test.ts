import { expect, expectTypeOf, it } from 'vitest';
import { createClient, defineChannels, type RealtimeError, type Schema, type } from '../src/index.ts';
import { createFakeServer } from '../src/testing/index.ts';

interface Chat {
  readonly text: string;
}

/** A schema as a library makes it. */
const chat: Schema<Chat> = {
  '~standard': {
    validate: (value) =>
      typeof (value as Chat)?.text === 'string'
        ? { value: { text: (value as Chat).text.trim() } }
        : { issues: [{ message: 'must be text', path: ['text'] }] },
  },
};

function connect() {
  const server = createFakeServer();
  const client = createClient({
    transports: [server.transport()],
    channels: defineChannels({ 'chat.{room}': chat, 'user.{id}.messages': type<number>(), metrics: type<boolean>() }),
  });
  client.connect();
  return { server, client };
}

it('hands over what the schema makes of the data, and tells what does not fit', async () => {
  const { server, client } = connect();
  const got: Chat[] = [];
  const errors: string[] = [];
  client.subscribe('chat.lobby', (data) => got.push(data));
  client.onError(({ reason, channel, message }) => errors.push(`${reason} ${channel} ${message}`));
  await client.ready();
  server.publish('chat.lobby', { text: ' hi ' });
  server.publish('chat.lobby', { text: 5 });
  await expect.poll(() => errors).toEqual(['INVALID_DATA chat.lobby chat.lobby: text: must be text']);
  expect(got).toEqual([{ text: 'hi' }]);
});

it('refuses to publish what does not fit', async () => {
  const { server, client } = connect();
  const wrong = { text: 1 } as unknown as Chat;
  await expect(client.publish('chat.lobby', wrong)).rejects.toMatchObject({ reason: 'INVALID_DATA', retryable: false });
  await client.publish('metrics', true);
  expect([server.kept('chat.lobby'), server.kept('metrics')]).toEqual([[], [true]]);
});

it('knows the types of channels by their templates', () => {
  const { client } = connect();
  client.subscribe('chat.lobby', (data) => expectTypeOf(data).toEqualTypeOf<Chat>());
  client.subscribe('user.7.messages', (data) => expectTypeOf(data).toEqualTypeOf<number>());
  // @ts-expect-error a channel that is not in the map
  client.subscribe('nowhere', () => {});
  // @ts-expect-error data of another channel
  const refused: Promise<unknown> = client.publish('metrics', 'text').catch((e: RealtimeError) => e);
  void refused;
});
