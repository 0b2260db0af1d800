import { describe, expect, it, vi } from 'vitest';
import { createClient } from '../src/index.ts';
import { confirm, message } from './fake.ts';
import { setScene, settle } from './scene.ts';

const scene = setScene();

describe('subscribing', () => {
  it('is remembered before there is a connection', async () => {
    const client = createClient({ transports: [scene.transport] });
    client.subscribe('chat', () => {});
    client.connect();
    await settle();
    expect(scene.transport.link().context.subscriptions).toMatchObject([{ channel: 'chat' }]);
  });

  it('asks once for many handlers, and ends with the last', async () => {
    const client = await scene.connected();
    const undo = [client.subscribe('chat', () => {}), client.subscribe('chat', () => {})];
    await settle();
    expect(scene.transport.link().of('subscribe')).toHaveLength(1);
    for (const u of undo) u();
    await settle();
    expect(scene.transport.link().of('unsubscribe')).toHaveLength(1);
  });

  it('sends nothing when it is undone in the same task', async () => {
    const client = await scene.connected();
    client.subscribe('chat', () => {})();
    const undo = client.subscribe('chat', () => {});
    await settle();
    expect(scene.transport.link().sent).toMatchObject([{ type: 'subscribe' }]);
    undo();
    client.subscribe('chat', () => {});
    await settle();
    expect(scene.transport.link().sent).toHaveLength(1);
  });

  it('does not leave a subscription behind that was undone while it was being opened', async () => {
    const client = createClient({ transports: [scene.transport] });
    const undo = client.subscribe('chat', () => {});
    client.connect();
    await settle();
    undo();
    await settle();
    scene.transport.link().open();
    expect(scene.transport.link().of('unsubscribe')).toMatchObject([{ channel: 'chat' }]);
  });

  it('tells of a gap, and goes on in the new epoch', async () => {
    const client = await scene.connected();
    const channel = client.channel('chat');
    const got: unknown[] = [];
    channel.subscribe((data) => got.push(data));
    channel.onGap((gap) => got.push(gap.reason));
    await settle();
    confirm(scene.transport.link(), 'chat', 4);
    scene.transport.link().send(message('chat', 5));
    await scene.reconnected();
    confirm(scene.transport.link(), 'chat', 1);
    scene.transport
      .link()
      .send({ type: 'gap', for: 'chat', reason: 'EPOCH_CHANGED', position: { offset: 1, epoch: 'f' } });
    scene.transport.link().send({ channel: 'chat', data: 'new', offset: 2, epoch: 'f' });
    expect(got).toEqual([5, 'EPOCH_CHANGED', 'new']);
    expect(channel.getPosition()).toEqual({ offset: 2, epoch: 'f' });
  });

  it('asks again where the server has had too much', async () => {
    const client = await scene.connected();
    client.subscribe('chat', () => {});
    await settle();
    const link = scene.transport.link();
    link.send({ type: 'error', id: link.of('subscribe')[0]?.id, for: 'chat', reason: 'RATE_LIMITED', retryAfter: 50 });
    expect(client.channel('chat').getState()).toBe('idle');
    await vi.advanceTimersByTimeAsync(50);
    expect(link.of('subscribe')).toHaveLength(2);
    confirm(link, 'chat', 0);
    expect(client.channel('chat').getState()).toBe('subscribed');
  });

  it('gives a refusal to the channel', async () => {
    const client = await scene.connected();
    const channel = client.channel('secret');
    const reasons: string[] = [];
    channel.onError((e) => reasons.push(e.reason));
    channel.subscribe(() => {});
    await settle();
    const id = scene.transport.link().of('subscribe')[0]?.id;
    scene.transport.link().send({ type: 'error', reason: 'FORBIDDEN', for: 'secret', ...(id !== undefined && { id }) });
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
    const client = await scene.connected();
    const got: unknown[] = [];
    client.subscribe('chat', () => {
      throw new Error('mine');
    });
    client.subscribe('chat', (data) => got.push(data));
    await settle();
    scene.transport.link().send(message('chat', 1));
    expect(got).toEqual([1]);
    await settle();
    expect(reported).toHaveBeenCalledOnce();
    vi.unstubAllGlobals();
  });

  it('removes one handler of two that are the same function', async () => {
    const client = await scene.connected();
    const handler = vi.fn();
    const undo = client.subscribe('chat', handler);
    client.subscribe('chat', handler);
    undo();
    undo();
    scene.transport.link().send(message('chat', 1));
    expect(handler).toHaveBeenCalledOnce();
  });

  it('hears what the server tells unasked, whatever handles of other channels there are', async () => {
    const client = await scene.connected();
    client.channel('other'); // to publish to
    const gaps: string[] = [];
    client.subscribe('chat', () => {});
    client.channel('chat').onGap(({ reason }) => gaps.push(reason));
    await settle();
    const link = scene.transport.link();
    confirm(link, 'chat', 0);
    link.send({ type: 'gap', for: 'chat', reason: 'TRUNCATED', position: { offset: 3, epoch: 'e' } });
    link.send({ type: 'checkpoint', for: 'chat', offset: 5, epoch: 'e' });
    expect(gaps).toEqual(['TRUNCATED']);
    expect(client.channel('chat').getPosition()).toEqual({ offset: 5, epoch: 'e' });
  });

  it.each(['RATE_LIMITED', 'UNAVAILABLE'])('is asked for again when the server says, after %s', async (reason) => {
    const client = await scene.connected();
    const channel = client.channel('chat');
    channel.subscribe(() => {});
    await settle();
    const link = scene.transport.link();
    link.send({ type: 'error', id: link.of('subscribe')[0]?.id, for: 'chat', reason, retryAfter: 1000 });
    await vi.advanceTimersByTimeAsync(1000);
    expect(link.of('subscribe')).toHaveLength(2);
    confirm(link, 'chat', 0);
    expect(channel.getState()).toBe('subscribed');
  });

  it('is ended again where that was refused for now', async () => {
    const client = await scene.connected();
    const undo = client.subscribe('chat', () => {});
    await settle();
    const link = scene.transport.link();
    confirm(link, 'chat', 0);
    undo();
    await settle();
    link.send({ type: 'error', for: 'chat', reason: 'RATE_LIMITED', retryAfter: 300 });
    await vi.advanceTimersByTimeAsync(300);
    expect(link.of('unsubscribe')).toHaveLength(2);
  });

  it('takes no answer to an earlier command for that to its newest', async () => {
    const client = await scene.connected();
    const channel = client.channel('chat', { recent: 5 });
    channel.subscribe(() => {})();
    const got: unknown[] = [];
    channel.subscribe((data) => void got.push(data));
    await settle();
    const link = scene.transport.link();
    const first = link.of('subscribe')[0]?.id ?? 0;
    link.send({ type: 'subscribed', id: first - 1, for: 'chat', offset: 3, epoch: 'e', resumed: false });
    expect(channel.getState()).toBe('subscribing');
    confirm(link, 'chat', 0);
    link.send(message('chat', 1));
    expect(got).toEqual([1]);
  });

  it('ends with its loop', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    const loop = (async () => {
      for await (const m of client.channel('chat').messages()) {
        got.push(m.data);
        if (got.length === 2) break;
      }
    })();
    await settle();
    scene.transport.link().send(message('chat', 1), message('chat', 2), message('chat', 3));
    await loop;
    await settle();
    expect(got).toEqual([1, 2]);
    expect(scene.transport.link().of('unsubscribe')).toHaveLength(1);
  });

  it('ends a loop by its signal', async () => {
    const client = await scene.connected();
    const stop = new AbortController();
    const loop = client.channel('chat').messages({ signal: stop.signal }).next();
    await settle();
    stop.abort();
    expect(await loop).toEqual({ done: true, value: undefined });
  });
});
