import { describe, expect, it, vi } from 'vitest';
import { createClient, type RealtimeError } from '../src/index.ts';
import { confirm, fakeTransport, message } from './fake.ts';
import { setScene, settle } from './scene.ts';

const scene = setScene();

describe('connecting', () => {
  it('opens one link, however often it is asked', async () => {
    const client = await scene.connected();
    client.connect();
    client.connect();
    await settle();
    expect(scene.transport.links).toHaveLength(1);
    expect(client.getSnapshot().state).toBe('connected');
  });

  it('comes back on the documented schedule, for ever', async () => {
    const client = await scene.connected();
    await vi.advanceTimersByTimeAsync(5000);
    const delays: number[] = [];
    for (let i = 0; i < 12; i++) {
      scene.transport.link().drop();
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
    const client = await scene.connected();
    await scene.reconnected();
    expect(client.getSnapshot().attempt).toBe(1);
    await vi.advanceTimersByTimeAsync(5000);
    expect(client.getSnapshot().attempt).toBe(0);
  });

  it('tries at once when asked while it waits', async () => {
    const client = await scene.connected();
    scene.transport.link().drop();
    client.connect();
    await settle();
    expect(scene.transport.links).toHaveLength(2);
  });

  it('stays away after disconnect', async () => {
    const client = await scene.connected();
    client.disconnect();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(scene.transport.links).toHaveLength(1);
    expect(scene.transport.link().closed).toBe('left');
    expect(client.getSnapshot().state).toBe('disconnected');
  });

  it('waits as long as the server says', async () => {
    const client = await scene.connected();
    scene.transport.link().drop('DRAINING', 700);
    expect(client.getSnapshot().retryAt - Date.now()).toBe(700);
  });

  it.each(['FORBIDDEN', 'DISCONNECTED', 'INVALID_REQUEST'])('does not come back after %s', async (reason) => {
    const client = await scene.connected();
    const errors: string[] = [];
    client.onError((e) => errors.push(e.reason));
    scene.transport.link().drop(reason);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(client.getSnapshot().state).toBe('error');
    expect(errors).toEqual([reason]);
    expect(scene.transport.links).toHaveLength(1);
  });

  it('gets a new token once when the old one is refused', async () => {
    const token = vi.fn(async ({ refresh }: { refresh: boolean }) => (refresh ? 'new' : 'old'));
    const client = await scene.connected({ token });
    scene.transport.link().drop('UNAUTHENTICATED');
    await settle();
    expect(scene.transport.link().context.token).toBe('new');
    scene.transport.link().drop('UNAUTHENTICATED');
    expect(client.getSnapshot().state).toBe('error');
  });

  it('says whether there was no token or no way, and tries again', async () => {
    const token = vi.fn(() => 'good');
    token.mockImplementationOnce(() => {
      throw new Error('signed out');
    });
    const open = vi.spyOn(scene.transport, 'open').mockImplementationOnce(() => {
      throw new ReferenceError('WebSocket is not defined');
    });
    const client = createClient({ transports: [scene.transport], token, reconnect: () => 1000 });
    client.connect();
    await settle();
    const { error, state } = client.getSnapshot();
    expect([state, error?.reason, error?.message]).toEqual(['reconnecting', 'TOKEN_FAILED', 'Error: signed out']);
    expect(open).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1000);
    const cause = expect.any(ReferenceError);
    expect(client.getSnapshot().error).toMatchObject({ reason: 'CONNECTION_LOST', cause });
    expect(client.getSnapshot().error?.message).toContain('WebSocket is not defined');
    await vi.advanceTimersByTimeAsync(1000);
    scene.transport.link().open();
    expect(client.getSnapshot()).toMatchObject({ state: 'connected', error: undefined });
  });

  it('falls back at once from a transport that cannot be made', async () => {
    vi.spyOn(scene.transport, 'open').mockImplementation(() => {
      throw new ReferenceError('WebSocket is not defined');
    });
    const second = fakeTransport('second');
    const client = createClient({ transports: [scene.transport, second] });
    client.connect();
    await settle();
    second.link().open();
    expect(client.getSnapshot()).toMatchObject({ state: 'connected', transport: 'second' });
  });

  it('falls back to the next transport at once, and keeps what worked', async () => {
    const second = fakeTransport('second');
    const client = createClient({ transports: [scene.transport, second] });
    client.connect();
    await settle();
    scene.transport.link().drop();
    await settle();
    second.link().open();
    expect(client.getSnapshot().transport).toBe('second');
    second.link().drop();
    await vi.advanceTimersByTimeAsync(3000);
    expect(second.links).toHaveLength(2);
    expect(scene.transport.links).toHaveLength(1);
  });

  it('gives up on a link that does not open in time', async () => {
    const client = createClient({ transports: [scene.transport] });
    client.connect();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(client.getSnapshot().state).toBe('reconnecting');
    expect(scene.transport.link().closed).toBe('abandoned');
  });

  it('notices a silent server', async () => {
    const client = await scene.connected();
    await vi.advanceTimersByTimeAsync(25_000);
    expect(scene.transport.link().of('ping')).toHaveLength(1);
    scene.transport.link().send({ type: 'pong' });
    await vi.advanceTimersByTimeAsync(10_000);
    expect(client.getSnapshot().state).toBe('connected');
    await vi.advanceTimersByTimeAsync(25_000);
    expect(client.getSnapshot().state).toBe('reconnecting');
  });

  it('lives for as long as it is retained', async () => {
    const client = createClient({ transports: [scene.transport] });
    const release = client.retain();
    release();
    const again = client.retain();
    await vi.advanceTimersByTimeAsync(1000);
    expect(scene.transport.links).toHaveLength(1);
    again();
    again();
    await vi.advanceTimersByTimeAsync(1000);
    expect(scene.transport.link().closed).toBe('left');
  });
});

describe('a server that drains', () => {
  it('is left for a new link that is opened first, and nothing is missed or doubled', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    const states: string[] = [];
    client.subscribe('chat', (data) => got.push(data));
    client.channel('chat').presence.enter('me');
    await settle();
    confirm(scene.transport.link(), 'chat', 4);
    client.onChange(() => states.push(client.getSnapshot().state));
    const old = scene.transport.link();
    old.send(message('chat', 5), { type: 'draining', retryAfter: 200 });
    await vi.advanceTimersByTimeAsync(200);
    expect(scene.transport.links).toHaveLength(2);
    old.send(message('chat', 6));
    client.send('chat', 'on both, for the old one may not answer');
    expect(old.of('publish')).toHaveLength(1);
    scene.transport.link().open();
    expect(old.closed).toBe('abandoned');
    expect(scene.transport.link().of('subscribe')[0]?.since).toEqual({ offset: 5, epoch: 'e' });
    expect(scene.transport.link().sent.map((c) => c.type)).toEqual(['subscribe', 'enter', 'publish']);
    confirm(scene.transport.link(), 'chat', 7, true);
    scene.transport.link().send(message('chat', 6), message('chat', 7));
    expect(got).toEqual([5, 6, 7]);
    expect(new Set(states)).toEqual(new Set(['connected']));
  });

  it('is kept while no other takes the link, and another is looked for', async () => {
    const client = await scene.connected();
    client.subscribe('chat', () => {});
    await settle();
    const old = scene.transport.link();
    confirm(old, 'chat', 4);
    old.send({ type: 'draining', retryAfter: 0 });
    await settle();
    scene.transport.link().drop('DRAINING', 1000);
    expect(client.getSnapshot().state).toBe('connected');
    expect(client.channel('chat').getState()).toBe('subscribed');
    client.send('chat', 1);
    expect(old.of('publish')).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(500);
    expect(scene.transport.links).toHaveLength(3);
    scene.transport.link().drop('FORBIDDEN');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(scene.transport.links).toHaveLength(3);
    old.drop('DRAINING', 700);
    expect(client.getSnapshot().retryAt - Date.now()).toBe(700);
  });

  it('may end the old link before the new one is open', async () => {
    const client = await scene.connected();
    const old = scene.transport.link();
    old.send({ type: 'draining', retryAfter: 0 });
    await settle();
    old.drop('DISCONNECTED');
    expect(client.getSnapshot().state).toBe('connected');
    scene.transport.link().open();
    client.send('chat', 1);
    expect(scene.transport.link().of('publish')).toHaveLength(1);
    expect(scene.transport.links).toHaveLength(2);
  });

  it('goes on where the server ends the link whose session another has taken over, though that one failed', async () => {
    const client = await scene.connected();
    const told: string[] = [];
    client.onError(({ reason }) => told.push(reason));
    const old = scene.transport.link();
    old.send({ type: 'draining', retryAfter: 0 });
    await settle();
    scene.transport.link().drop();
    old.drop('DISCONNECTED');
    expect(client.getSnapshot().state).toBe('reconnecting');
    await vi.advanceTimersByTimeAsync(3000);
    scene.transport.link().open();
    expect(client.getSnapshot().state).toBe('connected');
    expect(told).toEqual([]);
  });

  it('loses nothing to what the new link joins by its address before it resumes', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    const gaps: unknown[] = [];
    client.subscribe('chat', (data) => got.push(data));
    client.channel('chat').onGap((gap) => gaps.push(gap));
    await settle();
    const old = scene.transport.link();
    confirm(old, 'chat', 0);
    old.send(message('chat', 1), { type: 'draining', retryAfter: 0 });
    await settle();
    const link = scene.transport.link();
    link.send({ type: 'checkpoint', for: 'chat', offset: 3, epoch: 'e' });
    old.drop('DRAINING');
    link.send(message('chat', 3));
    link.send({ type: 'gap', for: 'chat', reason: 'TRUNCATED', position: { offset: 4, epoch: 'e' } });
    link.open();
    confirm(link, 'chat', 1, true);
    link.send(...[2, 3, 4, 5].map((offset) => message('chat', offset)));
    expect(got).toEqual([1, 2, 3, 4, 5]);
    expect(gaps).toEqual([]);
  });
});

describe('a token that expires', () => {
  it('is renewed in time, on the same link', async () => {
    const token = vi.fn(async ({ refresh }: { refresh: boolean }) => (refresh ? 'new' : 'old'));
    const client = await scene.connected({ token });
    scene.transport.link().send({ type: 'auth', expires: Date.now() + 20_000 });
    await vi.advanceTimersByTimeAsync(15_900);
    expect(token).toHaveBeenCalledTimes(1);
    await vi.advanceTimersByTimeAsync(200);
    expect(scene.transport.link().sent.filter((c) => c.type === 'auth')).toMatchObject([{ token: 'new' }]);
    expect(scene.transport.links).toHaveLength(1);
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
