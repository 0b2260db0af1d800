import { describe, expect, it } from 'vitest';
import { readEnvelopes, toEnvelope } from '../src/transports/envelope.ts';
import { readEvents, type StreamEvent } from '../src/transports/eventstream.ts';
import { errorBody, framesOf } from '../src/transports/proto.ts';

/** Bytes that come in pieces of a size. */
async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < bytes.length; i += size) yield bytes.slice(i, i + size);
}

describe('an event stream', () => {
  const text =
    ': comment\nretry: 1500\n\nid: 1\nevent: metrics\ndata: {"a":\ndata: "ü"}\n\nid: 2\n\ndata: pl\u2028ain\r\n\r\ndata: cut';

  it.each([1, 2, 3, 1000])('is read from pieces of %i bytes', async (size) => {
    const events: StreamEvent[] = [];
    for await (const event of readEvents(pieces(new TextEncoder().encode(text), size))) events.push(event);
    expect(events).toEqual([
      { event: 'metrics', data: '{"a":\n"ü"}' },
      { event: 'message', data: 'pl\u2028ain' },
    ]);
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
    expect(framesOf({ subscribed: { channel: 'c', position: { epoch: 'e' } } })).toMatchObject([
      { type: 'subscribed', for: 'c', offset: 0, epoch: 'e' },
    ]);
    expect(framesOf({ presenceSnapshot: { channel: 'c' } })).toMatchObject([
      { type: 'presence', total: 0, version: 0 },
    ]);
  });

  it('says which command a notice answers, if any', () => {
    const subscribed = { channel: 'c' };
    expect(framesOf({ subscribed, commandId: '7' })).toMatchObject([{ type: 'subscribed', for: 'c', id: 7 }]);
    expect(framesOf({ subscribed })[0]).not.toHaveProperty('id');
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
    ).toMatchObject([
      {
        type: 'gap',
        for: 'c',
        reason: 'TRUNCATED',
        requested: { offset: 1, epoch: 'e' },
        position: { offset: 5, epoch: 'e' },
      },
    ]);
    const changes = [
      {
        action: 'PRESENCE_ACTION_LEAVE' as const,
        member: { user: 'a', enterTime: '1970-01-01T00:00:01Z', sessions: 1 },
      },
    ];
    expect(
      framesOf({ presenceChanges: { channel: 'c', version: { number: '4', epoch: 'p' }, changes } }),
    ).toMatchObject([
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
    const body = errorBody({
      details: [{ debug: { reason: 'ERROR_REASON_RATE_LIMITED', channel: 'c', limit: '5', retryAfter: '1.5s' } }],
    });
    expect(body).toMatchObject({ reason: 'RATE_LIMITED', for: 'c', limit: 5, retryAfter: 1500 });
    expect(body).not.toHaveProperty('channel');
  });
});
