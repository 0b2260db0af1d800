import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Client, type ClientOptions, createClient, type RealtimeError } from '../src/index.ts';
import { confirm, type FakeTransport, fakeTransport, message } from './fake.ts';

let transport: FakeTransport;

beforeEach(() => {
  vi.useFakeTimers();
  vi.spyOn(Math, 'random').mockReturnValue(0);
  transport = fakeTransport();
});
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const settle = () => vi.advanceTimersByTimeAsync(0);

async function connected(options: Partial<ClientOptions> = {}): Promise<Client> {
  const client = createClient({ transports: [transport], ...options });
  client.connect();
  await settle();
  transport.link().open();
  return client;
}

async function reconnected(): Promise<void> {
  transport.link().drop();
  await vi.advanceTimersByTimeAsync(3000);
  transport.link().open();
}

describe('connecting', () => {
  it('opens one link, however often it is asked', async () => {
    const client = await connected();
    client.connect();
    client.connect();
    await settle();
    expect(transport.links).toHaveLength(1);
    expect(client.getSnapshot().state).toBe('connected');
  });

  it('comes back on the documented schedule, for ever', async () => {
    const client = await connected();
    await vi.advanceTimersByTimeAsync(5000);
    const delays: number[] = [];
    for (let i = 0; i < 12; i++) {
      transport.link().drop();
      const { retryAt, state } = client.getSnapshot();
      expect(state).toBe('reconnecting');
      delays.push(retryAt - Date.now());
      await vi.advanceTimersByTimeAsync(retryAt - Date.now());
    }
    expect(delays.slice(0, 4)).toEqual([3000, 4500, 6750, 10125]);
    expect(delays.slice(7)).toEqual([30000, 30000, 30000, 30000, 30000]);
  });

  it('spreads clients at the cap', async () => {
    vi.mocked(Math.random).mockReturnValue(0.5);
    const { backoff } = await import('../src/index.ts');
    expect(backoff()(50, {} as RealtimeError)).toBe(27_000);
    expect(backoff()(0, {} as RealtimeError)).toBe(3500);
  });

  it('starts the schedule anew only after a link that lasted', async () => {
    const client = await connected();
    await reconnected();
    expect(client.getSnapshot().attempt).toBe(1);
    await vi.advanceTimersByTimeAsync(5000);
    expect(client.getSnapshot().attempt).toBe(0);
  });

  it('tries at once when asked while it waits', async () => {
    const client = await connected();
    transport.link().drop();
    client.connect();
    await settle();
    expect(transport.links).toHaveLength(2);
  });

  it('stays away after disconnect', async () => {
    const client = await connected();
    client.disconnect();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(transport.links).toHaveLength(1);
    expect(transport.link().closed).toBe('left');
    expect(client.getSnapshot().state).toBe('disconnected');
  });

  it('waits as long as the server says', async () => {
    const client = await connected();
    transport.link().drop('DRAINING', 700);
    expect(client.getSnapshot().retryAt - Date.now()).toBe(700);
  });

  it.each(['FORBIDDEN', 'DISCONNECTED', 'INVALID_REQUEST'])('does not come back after %s', async (reason) => {
    const client = await connected();
    const errors: string[] = [];
    client.onError((e) => errors.push(e.reason));
    transport.link().drop(reason);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(client.getSnapshot().state).toBe('error');
    expect(errors).toEqual([reason]);
    expect(transport.links).toHaveLength(1);
  });

  it('gets a new token once when the old one is refused', async () => {
    const token = vi.fn(async ({ refresh }: { refresh: boolean }) => (refresh ? 'new' : 'old'));
    const client = await connected({ token });
    transport.link().drop('UNAUTHENTICATED');
    await settle();
    expect(transport.link().context.token).toBe('new');
    transport.link().drop('UNAUTHENTICATED');
    expect(client.getSnapshot().state).toBe('error');
  });

  it('falls back to the next transport at once, and keeps what worked', async () => {
    const second = fakeTransport('second');
    const client = createClient({ transports: [transport, second] });
    client.connect();
    await settle();
    transport.link().drop();
    await settle();
    second.link().open();
    expect(client.getSnapshot().transport).toBe('second');
    second.link().drop();
    await vi.advanceTimersByTimeAsync(3000);
    expect(second.links).toHaveLength(2);
    expect(transport.links).toHaveLength(1);
  });

  it('gives up on a link that does not open in time', async () => {
    const client = createClient({ transports: [transport] });
    client.connect();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(client.getSnapshot().state).toBe('reconnecting');
    expect(transport.link().closed).toBe('abandoned');
  });

  it('notices a silent server', async () => {
    const client = await connected();
    await vi.advanceTimersByTimeAsync(25_000);
    expect(transport.link().of('ping')).toHaveLength(1);
    transport.link().send({ type: 'pong' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(client.getSnapshot().state).toBe('connected');
    await vi.advanceTimersByTimeAsync(25_000);
    expect(client.getSnapshot().state).toBe('reconnecting');
  });

  it('lives for as long as it is retained', async () => {
    const client = createClient({ transports: [transport] });
    const release = client.retain();
    release();
    const again = client.retain();
    await vi.advanceTimersByTimeAsync(1000);
    expect(transport.links).toHaveLength(1);
    again();
    again();
    await vi.advanceTimersByTimeAsync(1000);
    expect(transport.link().closed).toBe('left');
  });
});

describe('subscribing', () => {
  it('is remembered before there is a connection', async () => {
    const client = createClient({ transports: [transport] });
    client.subscribe('chat', () => {});
    client.connect();
    await settle();
    expect(transport.link().context.subscriptions).toMatchObject([{ channel: 'chat' }]);
  });

  it('asks once for many handlers, and ends with the last', async () => {
    const client = await connected();
    const undo = [client.subscribe('chat', () => {}), client.subscribe('chat', () => {})];
    await settle();
    expect(transport.link().of('subscribe')).toHaveLength(1);
    for (const u of undo) u();
    await settle();
    expect(transport.link().of('unsubscribe')).toHaveLength(1);
  });

  it('sends nothing when it is undone in the same task', async () => {
    const client = await connected();
    client.subscribe('chat', () => {})();
    const undo = client.subscribe('chat', () => {});
    await settle();
    expect(transport.link().sent).toMatchObject([{ type: 'subscribe' }]);
    undo();
    client.subscribe('chat', () => {});
    await settle();
    expect(transport.link().sent).toHaveLength(1);
  });

  it('does not leave a subscription behind that was undone while it was being opened', async () => {
    const client = createClient({ transports: [transport] });
    const undo = client.subscribe('chat', () => {});
    client.connect();
    await settle();
    undo();
    await settle();
    transport.link().open();
    expect(transport.link().of('unsubscribe')).toMatchObject([{ channel: 'chat' }]);
  });

  it('resumes where it was, and hands over each message once', async () => {
    const client = await connected();
    const got: unknown[] = [];
    client.subscribe('chat', (data) => got.push(data));
    await settle();
    confirm(transport.link(), 'chat', 4);
    transport.link().send(message('chat', 5), message('chat', 6));
    await reconnected();
    expect(transport.link().of('subscribe')[0]?.since).toEqual({ offset: 6, epoch: 'e' });
    confirm(transport.link(), 'chat', 8, true);
    transport.link().send(message('chat', 6), message('chat', 7), message('chat', 8));
    expect(got).toEqual([5, 6, 7, 8]);
  });

  it('resumes even where no message came', async () => {
    const client = await connected();
    client.subscribe('chat', () => {});
    await settle();
    confirm(transport.link(), 'chat', 4);
    await reconnected();
    expect(transport.link().of('subscribe')[0]?.since).toEqual({ offset: 4, epoch: 'e' });
  });

  it('moves with checkpoints', async () => {
    const client = await connected();
    client.subscribe('chat', () => {});
    await settle();
    confirm(transport.link(), 'chat', 4);
    transport.link().send({ type: 'checkpoint', for: 'chat', offset: 9, epoch: 'e' });
    expect(client.channel('chat').getPosition()).toEqual({ offset: 9, epoch: 'e' });
  });

  it('forgets what a place of its pattern stands for', async () => {
    const client = await connected();
    client.subscribe('chat.*', () => {});
    await settle();
    confirm(transport.link(), 'chat.*', 4);
    transport.link().send(message('chat.a', 1), message('chat.b', 2));
    const seen = { 'chat.b': { offset: 2, epoch: 'e' } };
    transport.link().send({ type: 'checkpoint', for: 'chat.*', offset: 9, epoch: 'e', seen });
    await reconnected();
    expect(transport.link().of('subscribe')[0]).toMatchObject({
      since: { offset: 9, epoch: 'e' },
      seen: { 'chat.b': { offset: 2, epoch: 'e' } },
    });
    expect(Object.keys(transport.link().of('subscribe')[0]?.seen ?? {})).toEqual(['chat.b']);
  });

  it('tells of a gap, and goes on in the new epoch', async () => {
    const client = await connected();
    const channel = client.channel('chat');
    const got: unknown[] = [];
    channel.subscribe((data) => got.push(data));
    channel.onGap((gap) => got.push(gap.reason));
    await settle();
    confirm(transport.link(), 'chat', 4);
    transport.link().send(message('chat', 5));
    await reconnected();
    confirm(transport.link(), 'chat', 1);
    transport.link().send({ type: 'gap', for: 'chat', reason: 'EPOCH_CHANGED', position: { offset: 1, epoch: 'f' } });
    transport.link().send({ channel: 'chat', data: 'new', offset: 2, epoch: 'f' });
    expect(got).toEqual([5, 'EPOCH_CHANGED', 'new']);
    expect(channel.getPosition()).toEqual({ offset: 2, epoch: 'f' });
  });

  it('gives a refusal to the channel', async () => {
    const client = await connected();
    const channel = client.channel('secret');
    const reasons: string[] = [];
    channel.onError((e) => reasons.push(e.reason));
    channel.subscribe(() => {});
    await settle();
    const id = transport.link().of('subscribe')[0]?.id;
    transport.link().send({ type: 'error', reason: 'FORBIDDEN', for: 'secret', ...(id !== undefined && { id }) });
    expect(reasons).toEqual(['FORBIDDEN']);
    expect(channel.getState()).toBe('failed');
    expect(client.getSnapshot().state).toBe('connected');
  });

  it('isolates handlers', async () => {
    const reported = vi.fn();
    const { queueMicrotask: soon } = globalThis;
    vi.stubGlobal('queueMicrotask', (run: () => void) =>
      soon(() => {
        try {
          run();
        } catch (error) {
          reported(error);
        }
      }),
    );
    const client = await connected();
    const got: unknown[] = [];
    client.subscribe('chat', () => {
      throw new Error('mine');
    });
    client.subscribe('chat', (data) => got.push(data));
    await settle();
    transport.link().send(message('chat', 1));
    expect(got).toEqual([1]);
    await settle();
    expect(reported).toHaveBeenCalledOnce();
    vi.unstubAllGlobals();
  });

  it('removes one handler of two that are the same function', async () => {
    const client = await connected();
    const handler = vi.fn();
    const undo = client.subscribe('chat', handler);
    client.subscribe('chat', handler);
    undo();
    undo();
    transport.link().send(message('chat', 1));
    expect(handler).toHaveBeenCalledOnce();
  });

  it('receives the channels of a pattern, and resumes them', async () => {
    const client = await connected();
    const got: unknown[] = [];
    client.subscribe('chat.*', (data, m) => got.push([m.channel, data]));
    await settle();
    confirm(transport.link(), 'chat.*', 100);
    transport.link().send(message('chat.a', 1), message('chat.b', 7), message('other', 1));
    expect(got).toEqual([
      ['chat.a', 1],
      ['chat.b', 7],
    ]);
    await reconnected();
    expect(transport.link().of('subscribe')[0]).toMatchObject({
      since: { offset: 100 },
      seen: { 'chat.a': { offset: 1 }, 'chat.b': { offset: 7 } },
    });
  });

  it('ends with its loop', async () => {
    const client = await connected();
    const got: unknown[] = [];
    const loop = (async () => {
      for await (const m of client.channel('chat').messages()) {
        got.push(m.data);
        if (got.length === 2) break;
      }
    })();
    await settle();
    transport.link().send(message('chat', 1), message('chat', 2), message('chat', 3));
    await loop;
    await settle();
    expect(got).toEqual([1, 2]);
    expect(transport.link().of('unsubscribe')).toHaveLength(1);
  });

  it('ends a loop by its signal', async () => {
    const client = await connected();
    const stop = new AbortController();
    const loop = client.channel('chat').messages({ signal: stop.signal }).next();
    await settle();
    stop.abort();
    expect(await loop).toEqual({ done: true, value: undefined });
  });
});

describe('publishing', () => {
  it('waits for a connection, and keeps the order', async () => {
    const client = createClient({ transports: [transport] });
    client.send('chat', 1);
    client.send('chat', 2);
    expect(client.getSnapshot().queued).toBe(2);
    client.connect();
    await settle();
    transport.link().open();
    expect(
      transport
        .link()
        .of('publish')
        .map((c) => c.data),
    ).toEqual([1, 2]);
  });

  it('follows the subscription of the same task', async () => {
    const client = await connected();
    client.subscribe('chat', () => {});
    client.send('chat', 'first');
    expect(transport.link().sent.map((c) => c.type)).toEqual(['subscribe', 'publish']);
  });

  it('sends again under the same id what was not acknowledged', async () => {
    const client = await connected();
    const ack = client.publish('chat', 'hi');
    const first = transport.link().of('publish')[0];
    await reconnected();
    const second = transport.link().of('publish')[0];
    expect(second).toEqual(first);
    expect(first?.messageId).toBeTruthy();
    transport.link().send({
      type: 'published',
      for: 'chat',
      offset: 3,
      epoch: 'e',
      duplicate: true,
      ...(first?.id !== undefined && { id: first.id }),
    });
    expect(await ack).toEqual({ messageId: first?.messageId, position: { offset: 3, epoch: 'e' }, duplicate: true });
    expect(client.getSnapshot().queued).toBe(0);
  });

  it('refuses more than the queue holds, and what is too old', async () => {
    const client = createClient({ transports: [transport], queue: { max: 1, ttl: 1000 } });
    const old = client.publish('chat', 1).catch((e: RealtimeError) => e.reason);
    await expect(client.publish('chat', 2)).rejects.toMatchObject({ reason: 'QUEUE_FULL' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(await old).toBe('TIMED_OUT');
  });

  it('rejects what the server refuses', async () => {
    const client = await connected();
    const ack = client.publish('chat', 1);
    const id = transport.link().of('publish')[0]?.id ?? 0;
    transport.link().send({ type: 'error', id, reason: 'TOO_LARGE', for: 'chat', limit: 5 });
    await expect(ack).rejects.toMatchObject({ reason: 'TOO_LARGE', channel: 'chat', limit: 5, retryable: false });
  });

  it('drops ephemeral messages when there is no connection', async () => {
    const client = createClient({ transports: [transport] });
    await expect(client.publish('chat', 'typing', { ephemeral: true })).rejects.toMatchObject({
      reason: 'NOT_CONNECTED',
    });
  });

  it('knows its own messages', async () => {
    const client = await connected();
    const self: boolean[] = [];
    client.subscribe('chat', (_, m) => self.push(m.self));
    void client.publish('chat', 1);
    const messageId = transport.link().of('publish')[0]?.messageId ?? '';
    transport.link().send({ channel: 'chat', data: 1, messageId }, { channel: 'chat', data: 1, messageId: 'other' });
    expect(self).toEqual([true, false]);
  });
});

describe('presence', () => {
  const member = (user: string, data?: unknown) => ({ user, data, since: 1, sessions: 1 });

  it('is entered again on each link', async () => {
    const client = await connected();
    const undo = client.channel('room').presence.enter({ name: 'Ada' });
    await settle();
    expect(transport.link().of('enter')).toMatchObject([{ data: { name: 'Ada' } }]);
    await reconnected();
    expect(transport.link().of('enter')).toHaveLength(1);
    undo();
    await settle();
    expect(transport.link().of('leave')).toHaveLength(1);
  });

  it('is left on the next link, if it was undone while there was none', async () => {
    const client = await connected();
    const leave = client.channel('room').presence.enter('me');
    await settle();
    transport.link().drop();
    leave();
    await vi.advanceTimersByTimeAsync(3000);
    transport.link().open();
    expect(transport.link().sent.map((c) => c.type)).toEqual(['leave']);
    transport.link().drop();
    await vi.advanceTimersByTimeAsync(4500);
    transport.link().open();
    expect(transport.link().sent).toEqual([]);
  });

  it('updates without leaving', async () => {
    const client = await connected();
    const { presence } = client.channel('room');
    presence.enter(1);
    await settle();
    presence.update(2);
    await settle();
    expect(transport.link().sent.map((c) => c.type)).toEqual(['enter', 'update']);
  });

  it('applies changes by version', async () => {
    const client = await connected();
    const { presence } = client.channel('room');
    presence.onChange(() => {});
    await settle();
    expect(transport.link().of('subscribe')).toMatchObject([{ presence: true }]);
    const link = transport.link();
    link.send({ type: 'presence', for: 'room', version: 3, epoch: 'p', total: 2, members: [member('a'), member('b')] });
    link.send({
      type: 'presence',
      for: 'room',
      version: 4,
      epoch: 'p',
      total: 2,
      changes: [
        { action: 'leave', ...member('a') },
        { action: 'enter', ...member('c') },
      ],
    });
    link.send({
      type: 'presence',
      for: 'room',
      version: 4,
      epoch: 'p',
      total: 1,
      changes: [{ action: 'leave', ...member('b') }],
    });
    expect(presence.getSnapshot()).toMatchObject({ members: [{ user: 'b' }, { user: 'c' }], total: 2, version: 4 });
  });

  it('is watched beside messages without losing any', async () => {
    const client = await connected();
    client.subscribe('room', () => {});
    await settle();
    confirm(transport.link(), 'room', 7);
    client.channel('room').presence.onChange(() => {});
    await settle();
    expect(transport.link().sent.slice(1)).toMatchObject([
      { type: 'unsubscribe' },
      { type: 'subscribe', presence: true, since: { offset: 7 } },
    ]);
  });
});

describe('a server that drains', () => {
  it('is left for a new link that is opened first, and nothing is missed or doubled', async () => {
    const client = await connected();
    const got: unknown[] = [];
    const states: string[] = [];
    client.subscribe('chat', (data) => got.push(data));
    client.channel('chat').presence.enter('me');
    await settle();
    confirm(transport.link(), 'chat', 4);
    client.onChange(() => states.push(client.getSnapshot().state));
    const old = transport.link();
    old.send(message('chat', 5), { type: 'draining', retryAfter: 200 });
    await vi.advanceTimersByTimeAsync(200);
    expect(transport.links).toHaveLength(2);
    old.send(message('chat', 6));
    client.send('chat', 'on both, for the old one may not answer');
    expect(old.of('publish')).toHaveLength(1);
    transport.link().open();
    expect(old.closed).toBe('abandoned');
    expect(transport.link().of('subscribe')[0]?.since).toEqual({ offset: 5, epoch: 'e' });
    expect(transport.link().sent.map((c) => c.type)).toEqual(['subscribe', 'enter', 'publish']);
    confirm(transport.link(), 'chat', 7, true);
    transport.link().send(message('chat', 6), message('chat', 7));
    expect(got).toEqual([5, 6, 7]);
    expect(new Set(states)).toEqual(new Set(['connected']));
  });

  it('is kept while no other takes the link, and another is looked for', async () => {
    const client = await connected();
    client.subscribe('chat', () => {});
    await settle();
    const old = transport.link();
    confirm(old, 'chat', 4);
    old.send({ type: 'draining', retryAfter: 0 });
    await settle();
    transport.link().drop('DRAINING', 1000);
    expect(client.getSnapshot().state).toBe('connected');
    expect(client.channel('chat').getState()).toBe('subscribed');
    client.send('chat', 1);
    expect(old.of('publish')).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(500);
    expect(transport.links).toHaveLength(3);
    transport.link().drop('FORBIDDEN');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(transport.links).toHaveLength(3);
    old.drop('DRAINING', 700);
    expect(client.getSnapshot().retryAt - Date.now()).toBe(700);
  });

  it('may end the old link before the new one is open', async () => {
    const client = await connected();
    const old = transport.link();
    old.send({ type: 'draining', retryAfter: 0 });
    await settle();
    old.drop('DISCONNECTED');
    expect(client.getSnapshot().state).toBe('connected');
    transport.link().open();
    client.send('chat', 1);
    expect(transport.link().of('publish')).toHaveLength(1);
    expect(transport.links).toHaveLength(2);
  });
});

describe('a token that expires', () => {
  it('is renewed in time, on the same link', async () => {
    const token = vi.fn(async ({ refresh }: { refresh: boolean }) => (refresh ? 'new' : 'old'));
    const client = await connected({ token });
    transport.link().send({ type: 'auth', expires: Date.now() + 20_000 });
    await vi.advanceTimersByTimeAsync(15_900);
    expect(token).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(transport.link().sent.filter((c) => c.type === 'auth')).toMatchObject([{ token: 'new' }]);
    expect(transport.links).toHaveLength(1);
    expect(client.getSnapshot().state).toBe('connected');
  });
});

describe('the state table', () => {
  it('is that of PROTOCOL.md', async () => {
    const { readFileSync } = await import('node:fs');
    const { after } = await import('../src/states.ts');
    const text = readFileSync(new URL('../PROTOCOL.md', import.meta.url), 'utf8');
    const events = ['connect', 'disconnect', 'opened', 'lost', 'refused'] as const;
    const rows = [...text.matchAll(/^\| \*\*(\w+)\*\* +\|(.*)\|$/gm)];
    expect(rows).toHaveLength(5);
    for (const [, state, cells = ''] of rows)
      cells.split('|').forEach((cell, i) => {
        const event = events[i];
        if (event) expect(after(state as Parameters<typeof after>[0], event)).toBe(cell.trim().split(' ')[0]);
      });
  });
});
