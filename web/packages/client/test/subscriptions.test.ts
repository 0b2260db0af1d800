import { describe, expect, it, vi } from 'vitest';
import { createClient } from '../src/index.ts';
import { by, confirm, message } from './fake.ts';
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

  it('resumes where it was, and hands over each message once', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    client.subscribe('chat', (data) => got.push(data));
    await settle();
    confirm(scene.transport.link(), 'chat', 4);
    scene.transport.link().send(message('chat', 5), message('chat', 6));
    await scene.reconnected();
    expect(scene.transport.link().of('subscribe')[0]?.since).toEqual({ offset: 6, epoch: 'e' });
    confirm(scene.transport.link(), 'chat', 8, true);
    scene.transport.link().send(message('chat', 6), message('chat', 7), message('chat', 8));
    expect(got).toEqual([5, 6, 7, 8]);
  });

  it('resumes even where no message came', async () => {
    const client = await scene.connected();
    client.subscribe('chat', () => {});
    await settle();
    confirm(scene.transport.link(), 'chat', 4);
    await scene.reconnected();
    expect(scene.transport.link().of('subscribe')[0]?.since).toEqual({ offset: 4, epoch: 'e' });
  });

  it('moves with checkpoints', async () => {
    const client = await scene.connected();
    client.subscribe('chat', () => {});
    await settle();
    confirm(scene.transport.link(), 'chat', 4);
    scene.transport.link().send({ type: 'checkpoint', for: 'chat', offset: 9, epoch: 'e' });
    expect(client.channel('chat').getPosition()).toEqual({ offset: 9, epoch: 'e' });
  });

  it('forgets what a place of its pattern stands for', async () => {
    const client = await scene.connected();
    client.subscribe('chat.*', () => {});
    await settle();
    confirm(scene.transport.link(), 'chat.*', 4);
    scene.transport.link().send(by('chat.*', 'chat.a', 1), by('chat.*', 'chat.b', 2));
    const seen = { 'chat.b': { offset: 2, epoch: 'e' } };
    scene.transport.link().send({ type: 'checkpoint', for: 'chat.*', offset: 9, epoch: 'e', seen });
    await scene.reconnected();
    expect(scene.transport.link().of('subscribe')[0]).toMatchObject({
      since: { offset: 9, epoch: 'e' },
      seen: { 'chat.b': { offset: 2, epoch: 'e' } },
    });
    expect(Object.keys(scene.transport.link().of('subscribe')[0]?.seen ?? {})).toEqual(['chat.b']);
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

  it('tells the beginning and the end of a channel from those of its pattern', async () => {
    const client = await scene.connected();
    client.subscribe('chat.*', () => {});
    await settle();
    const link = scene.transport.link();
    link.send({ type: 'subscribed', for: 'chat.a', offset: 1, epoch: 'e', resumed: false });
    expect(client.channel('chat.*').getState()).toBe('subscribing');
    confirm(link, 'chat.*', 100);
    link.send({ type: 'unsubscribed', for: 'chat.a', error: { reason: 'FORBIDDEN' } });
    expect(client.channel('chat.*').getState()).toBe('subscribed');
    expect(client.channel('chat.*').getPosition()).toEqual({ offset: 100, epoch: 'e' });
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

  it('receives the channels of a pattern, and resumes them', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    client.subscribe('chat.*', (data, m) => got.push([m.channel, data]));
    await settle();
    confirm(scene.transport.link(), 'chat.*', 100);
    scene.transport.link().send(by('chat.*', 'chat.a', 1), by('chat.*', 'chat.b', 7), message('other', 1));
    expect(got).toEqual([
      ['chat.a', 1],
      ['chat.b', 7],
    ]);
    await scene.reconnected();
    expect(scene.transport.link().of('subscribe')[0]).toMatchObject({
      since: { offset: 100 },
      seen: { 'chat.a': { offset: 1 }, 'chat.b': { offset: 7 } },
    });
  });

  it('keeps the places of a channel and of its pattern apart', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    const byPattern: unknown[] = [];
    client.channel('chat.*', { filter: { types: ['kind'] } }).subscribe((data) => byPattern.push(data));
    client.subscribe('chat.a', (data) => got.push(data));
    await settle();
    const link = scene.transport.link();
    confirm(link, 'chat.*', 100);
    confirm(link, 'chat.a', 0);
    link.send(message('chat.a', 1));
    link.send({ type: 'checkpoint', for: 'chat.a', offset: 3, epoch: 'e', pattern: 'chat.*' });
    link.send(by('chat.*', 'chat.a', 4), by('chat.*', 'chat.a', 4));
    const gap = { requested: { offset: 4, epoch: 'e' }, position: { offset: 6, epoch: 'e' } };
    link.send({ type: 'gap', for: 'chat.a', reason: 'TRUNCATED', ...gap, pattern: 'chat.*' });
    await scene.reconnected();
    const [pattern, channel] = scene.transport.link().of('subscribe');
    expect(pattern).toMatchObject({ since: { offset: 100 }, seen: { 'chat.a': { offset: 6, epoch: 'e' } } });
    expect(channel).toMatchObject({ since: { offset: 1, epoch: 'e' } });
    confirm(scene.transport.link(), 'chat.a', 6, true);
    scene.transport.link().send(...[2, 3, 4, 5, 6].map((offset) => message('chat.a', offset)));
    expect(got).toEqual([1, 2, 3, 4, 5, 6]);
    expect(byPattern).toEqual([4]);
  });

  it('tells of a gap only who missed something', async () => {
    const client = await scene.connected();
    const missed: string[] = [];
    for (const name of ['chat.*', 'chat.>', 'chat.a']) {
      client.subscribe(name, () => {});
      client.channel(name).onGap(({ channel }) => missed.push(`${name}: ${channel}`));
    }
    await settle();
    const position = { offset: 6, epoch: 'e' };
    scene.transport.link().send({ type: 'gap', for: 'chat.a', reason: 'TRUNCATED', position, pattern: 'chat.*' });
    scene.transport.link().send({ type: 'gap', for: 'chat.a', reason: 'TRUNCATED', position });
    expect(missed).toEqual(['chat.*: chat.a', 'chat.a: chat.a']);
  });

  it('gives an ephemeral message to each subscription once', async () => {
    const client = await scene.connected();
    const got: string[] = [];
    for (const name of ['chat.*', 'chat.a']) client.subscribe(name, () => got.push(name));
    await settle();
    const typing = { channel: 'chat.a', data: 'typing', ephemeral: true };
    scene.transport.link().send(typing, { ...typing, pattern: 'chat.*' });
    expect(got).toEqual(['chat.a', 'chat.*']);
  });

  it('tells of each message once, whichever subscription has it first', async () => {
    const client = await scene.connected();
    const all: unknown[] = [];
    client.onMessage(({ data }) => all.push(data));
    for (const name of ['chat.*', 'chat.a']) client.subscribe(name, () => {});
    await settle();
    const link = scene.transport.link();
    confirm(link, 'chat.*', 100);
    confirm(link, 'chat.a', 0);
    link.send(by('chat.*', 'chat.a', 3), message('chat.a', 1), message('chat.a', 2), message('chat.a', 3));
    link.send(message('chat.a', 4), by('chat.*', 'chat.a', 4));
    expect(all).toEqual([3, 1, 2, 4]);
  });

  it('begins with the newest kept messages, whatever a pattern brought before', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    const all: unknown[] = [];
    client.onMessage(({ data }) => all.push(data));
    client.subscribe('chat.*', () => {});
    const channel = client.channel('chat.a', { recent: 2 });
    await settle();
    const link = scene.transport.link();
    confirm(link, 'chat.*', 100);
    link.send(by('chat.*', 'chat.a', 7));
    channel.subscribe((data) => got.push(data));
    await settle();
    expect(link.of('subscribe').at(-1)).toEqual({ id: 2, type: 'subscribe', channel: 'chat.a', recent: 2 });
    link.send(by('chat.*', 'chat.a', 8));
    confirm(link, 'chat.a', 6);
    link.send(by('chat.*', 'chat.a', 9), message('chat.a', 7), message('chat.a', 8), message('chat.a', 9));
    expect(got).toEqual([7, 8, 9]);
    expect(all).toEqual([7, 8, 9]);
  });

  it('leaves what an earlier subscription still shows to the one that resumes', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    client.subscribe('chat', (data) => void got.push(data));
    await settle();
    confirm(scene.transport.link(), 'chat', 0);
    scene.transport.link().send(message('chat', 1));
    await scene.reconnected();
    const link = scene.transport.link();
    link.send(message('chat', 3)); // the path has joined it by itself, from now on
    confirm(link, 'chat', 1, true);
    link.send(message('chat', 2), message('chat', 3));
    expect(got).toEqual([1, 2, 3]);
  });

  it.each([
    { recent: 0, had: 1 },
    { recent: 2, had: 0 },
    { filter: { types: ['a'] }, had: 0 },
  ])(
    'does not take the beginning of what a stream has joined by itself for its own, with $recent and $filter',
    async ({ had, ...options }) => {
      const client = await scene.connected();
      const got: unknown[] = [];
      client.channel('chat', options).subscribe((data) => void got.push(data));
      await settle();
      if (had) {
        confirm(scene.transport.link(), 'chat', 0);
        scene.transport.link().send(message('chat', 1));
        await scene.reconnected();
      }
      const link = scene.transport.link();
      link.send({ type: 'subscribed', for: 'chat', offset: 3, epoch: 'e', resumed: false }); // where the stream has joined it
      expect(client.channel('chat').getState()).toBe('subscribing');
      link.send(message('chat', 4));
      confirm(link, 'chat', had, had > 0);
      link.send(...[1, 2, 3, 4].slice(had).map((offset) => message('chat', offset)));
      expect(got).toEqual([1, 2, 3, 4]);
    },
  );

  it('begins anew where the address of the link has joined it elsewhere', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    client.channel('chat', { recent: 2 }).subscribe((data) => void got.push(data));
    await settle();
    const link = scene.transport.link();
    const id = link.of('subscribe')[0]?.id;
    link.send({ type: 'subscribed', id, for: 'chat', offset: 3, epoch: 'e', already: true });
    expect(link.of('unsubscribe')).toHaveLength(1);
    link.send(message('chat', 4));
    confirm(link, 'chat', 2);
    link.send(message('chat', 3), message('chat', 4));
    expect(got).toEqual([3, 4]);
  });

  it('is not moved by what a link has joined before it is open', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    client.subscribe('chat', (data) => void got.push(data));
    await settle();
    confirm(scene.transport.link(), 'chat', 0);
    scene.transport.link().send(message('chat', 1));
    scene.transport.link().drop();
    await vi.advanceTimersByTimeAsync(3000);
    const link = scene.transport.link();
    link.send(message('chat', 3));
    link.open();
    confirm(link, 'chat', 1, true);
    link.send(message('chat', 2), message('chat', 3));
    expect(got).toEqual([1, 2, 3]);
  });

  it('knows the answer of a link to what it was asked when it was opened', async () => {
    const client = createClient({ transports: [scene.transport] });
    const got: unknown[] = [];
    client.channel('chat', { recent: 2 }).subscribe((data) => void got.push(data));
    client.connect();
    await settle();
    client.subscribe('other', () => {}); // asked for while the link is being opened
    await settle();
    const link = scene.transport.link();
    link.open();
    confirm(link, 'chat', 0);
    confirm(link, 'other', 0);
    link.send(message('chat', 1));
    expect(client.channel('chat').getState()).toBe('subscribed');
    expect(client.channel('other').getState()).toBe('subscribed');
    expect(got).toEqual([1]);
  });

  it('watches what it began to watch while another link was being opened', async () => {
    const client = await scene.connected();
    const channel = client.channel('chat');
    const got: unknown[] = [];
    channel.subscribe((data) => void got.push(data));
    await settle();
    confirm(scene.transport.link(), 'chat', 0);
    const old = scene.transport.link();
    old.send({ type: 'draining', retryAfter: 0 });
    await settle();
    channel.presence.onChange(() => {});
    await settle();
    expect(old.of('subscribe').at(-1)).toMatchObject({ presence: true });
    const link = scene.transport.link();
    link.open();
    confirm(link, 'chat', 0, true);
    await settle();
    expect(link.of('subscribe').at(-1)).toMatchObject({ presence: true });
    confirm(link, 'chat', 0, true);
    link.send(message('chat', 1));
    expect(channel.getState()).toBe('subscribed');
    expect(got).toEqual([1]);
  });

  it('resumes on the next link from where the one before confirmed it while that was being opened', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    const old = scene.transport.link();
    client.subscribe('chat', (data) => void got.push(data));
    await settle();
    old.send({ type: 'draining', retryAfter: 0 });
    await settle();
    confirm(old, 'chat', 0);
    old.drop();
    const link = scene.transport.link();
    link.open();
    await settle();
    expect(link.of('subscribe').map(({ since }) => since)).toEqual([undefined, { offset: 0, epoch: 'e' }]);
    confirm(link, 'chat', 0, true);
    link.send(message('chat', 1));
    expect(got).toEqual([1]);
  });

  it('begins anew where it was undone and wanted again while the next link was being opened', async () => {
    const client = await scene.connected();
    const old = scene.transport.link();
    const undo = client.subscribe('chat', () => {});
    await settle();
    confirm(old, 'chat', 4);
    old.send({ type: 'draining', retryAfter: 0 });
    await settle();
    undo();
    await settle();
    const got: unknown[] = [];
    client.subscribe('chat', (data) => void got.push(data));
    await settle();
    const link = scene.transport.link();
    link.open();
    await settle();
    link.send(message('chat', 5)); // what the link was asked to resume
    confirm(link, 'chat', 6);
    link.send(message('chat', 7));
    expect(link.of('unsubscribe')).toHaveLength(1);
    expect(got).toEqual([7]);
  });

  it('tells of the gap of a beginning from which it begins again at once', async () => {
    const client = await scene.connected();
    const channel = client.channel('chat');
    const gaps: string[] = [];
    channel.onGap(({ reason }) => gaps.push(reason));
    const unwatch = channel.presence.onChange(() => {});
    channel.subscribe(() => {});
    await settle();
    confirm(scene.transport.link(), 'chat', 2);
    scene.transport.link().drop();
    await vi.advanceTimersByTimeAsync(3000);
    const link = scene.transport.link();
    unwatch();
    link.open();
    confirm(link, 'chat', 3);
    await settle();
    expect(link.of('subscribe').at(-1)).toMatchObject({ since: { offset: 3 } });
    link.send({ type: 'gap', for: 'chat', reason: 'TRUNCATED', position: { offset: 3, epoch: 'e' } });
    confirm(link, 'chat', 3, true);
    expect(gaps).toEqual(['TRUNCATED']);
  });

  it('is not moved back by a checkpoint of a replay', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    client.channel('chat', { filter: { types: ['a'] } }).subscribe((data) => void got.push(data));
    await settle();
    const link = scene.transport.link();
    confirm(link, 'chat', 0);
    link.send({ type: 'checkpoint', for: 'chat', offset: 1, epoch: 'e' }, message('chat', 2));
    link.send({ type: 'checkpoint', for: 'chat', offset: 1, epoch: 'e' }, message('chat', 2), message('chat', 3));
    expect(got).toEqual([2, 3]);
  });

  it('takes nothing that an earlier subscription still brings', async () => {
    const client = await scene.connected();
    const link = scene.transport.link();
    const undo = client.subscribe('chat', () => {});
    await settle();
    confirm(link, 'chat', 0);
    undo();
    await settle();
    const got: unknown[] = [];
    client.subscribe('chat', (data) => void got.push(data));
    await settle();
    link.send(message('chat', 1)); // sent before the server heard of the end; 2 is placed between end and beginning
    confirm(link, 'chat', 2);
    link.send(message('chat', 3));
    expect(got).toEqual([3]);
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

  it('takes what a path has joined before it asks for it itself', async () => {
    const client = await scene.connected();
    const got: unknown[] = [];
    client.subscribe('chat', (data) => void got.push(data));
    await settle();
    scene.transport.link().send(message('chat', 1), message('chat', 2));
    confirm(scene.transport.link(), 'chat', 2);
    scene.transport.link().send(message('chat', 3));
    expect(got).toEqual([1, 2, 3]);
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
