import { describe, expect, it } from 'vitest';
import { readEnvelopes, toEnvelope } from '../src/transports/envelope.ts';
import { readEvents, type StreamEvent } from '../src/transports/eventstream.ts';
import { callOf, errorBody, framesOf, subscription } from '../src/transports/proto.ts';

/** A body that comes in pieces of a size. */
function pieces(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (let i = 0; i < bytes.length; i += size) controller.enqueue(bytes.slice(i, i + size));
      controller.close();
    },
  });
}

describe('an event stream', () => {
  const text =
    ': comment\nretry: 1500\n\nid: 1\nevent: metrics\ndata: {"a":\ndata: "ü"}\n\nid: 2\n\ndata: plain\r\n\r\ndata: cut';

  it.each([1, 2, 3, 1000])('is read from pieces of %i bytes', async (size) => {
    const events: StreamEvent[] = [];
    let retry = 0;
    const last = await readEvents(pieces(new TextEncoder().encode(text), size), {
      event: (e) => events.push(e),
      alive: () => {},
      retry: (ms) => {
        retry = ms;
      },
    });
    expect(events).toEqual([
      { event: 'metrics', data: '{"a":\n"ü"}', id: '1' },
      { event: 'message', data: 'plain', id: '2' },
    ]);
    expect([last, retry]).toEqual(['2', 1500]);
  });
});

describe('a Connect stream', () => {
  it.each([1, 4, 7, 1000])('is read from pieces of %i bytes', async (size) => {
    const two = [{ a: 'ü' }, { b: 2 }].map(toEnvelope);
    const bytes = new Uint8Array(two.flatMap((e) => [...e]));
    const values: unknown[] = [];
    for await (const { value } of readEnvelopes(pieces(bytes, size))) values.push(value);
    expect(values).toEqual([{ a: 'ü' }, { b: 2 }]);
  });
});

describe('the JSON form of the API', () => {
  it('becomes deliveries', () => {
    const message = {
      channel: 'c',
      position: { offset: '9007199254740991', epoch: 'e' },
      id: 'm',
      type: 'update',
      payload: { json: '{"x":1}' },
      publishTime: '2026-01-02T03:04:05.678Z',
      entity: { name: 'user', id: '7', timestamp: 't', queryKeysJson: '[["users"]]' },
    };
    expect(framesOf({ messages: [message] })).toEqual([
      {
        channel: 'c',
        offset: Number.MAX_SAFE_INTEGER,
        epoch: 'e',
        messageId: 'm',
        type: 'update',
        data: { x: 1 },
        time: 1767323045678,
        entity: 'user',
        id: '7',
        timestamp: 't',
        queryKeys: [['users']],
      },
    ]);
  });

  it('has no zero values, which the frames have', () => {
    expect(framesOf({ subscribed: { channel: 'c', position: { epoch: 'e' } } })).toEqual([
      { type: 'subscribed', for: 'c', offset: 0, epoch: 'e', resumed: undefined },
    ]);
    expect(framesOf({ presenceSnapshot: { channel: 'c' } })).toMatchObject([{ members: [], total: 0, version: 0 }]);
  });

  it('becomes gaps and presence', () => {
    expect(
      framesOf({
        gap: {
          channel: 'c',
          reason: 'GAP_REASON_TRUNCATED',
          requested: { offset: '1', epoch: 'e' },
          position: { offset: '5', epoch: 'e' },
        },
      }),
    ).toEqual([
      {
        type: 'gap',
        for: 'c',
        reason: 'TRUNCATED',
        requested: { offset: 1, epoch: 'e' },
        position: { offset: 5, epoch: 'e' },
      },
    ]);
    const changes = [
      { action: 'PRESENCE_ACTION_LEAVE', member: { user: 'a', enterTime: '1970-01-01T00:00:01Z', sessions: 1 } },
    ];
    expect(framesOf({ presenceChanges: { channel: 'c', version: { number: '4', epoch: 'p' }, changes } })).toEqual([
      {
        type: 'presence',
        for: 'c',
        version: 4,
        epoch: 'p',
        total: 0,
        changes: [{ action: 'leave', user: 'a', since: 1000, sessions: 1 }],
      },
    ]);
  });

  it('becomes errors, which are never taken for messages', () => {
    const body = errorBody({ reason: 'ERROR_REASON_RATE_LIMITED', channel: 'c', limit: '5', retryAfter: '1.5s' });
    expect(body).toMatchObject({ reason: 'RATE_LIMITED', for: 'c', limit: 5, retryAfter: 1500 });
    expect(body).not.toHaveProperty('channel');
  });

  it('is made of commands', () => {
    const command = {
      type: 'subscribe',
      channel: 'c',
      onGap: 'oldest',
      onSlow: 'dropOldest',
      minInterval: 250,
      seen: { a: { offset: 1, epoch: 'e' } },
    } as const;
    expect(subscription(command)).toEqual({
      type: 'subscribe',
      channel: 'c',
      onGap: 'ON_GAP_OLDEST',
      onSlow: 'ON_SLOW_DROP_OLDEST',
      minInterval: '0.25s',
      seen: [{ channel: 'a', position: { offset: 1, epoch: 'e' } }],
    });
    expect(callOf({ type: 'publish', channel: 'c', data: [1], messageId: 'm', ttl: 1500 })?.request).toMatchObject({
      payload: { json: '[1]' },
      id: 'm',
      ttl: '1.5s',
    });
    expect(callOf({ type: 'ping' })).toBeUndefined();
  });
});
