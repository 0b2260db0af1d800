import { describe, expect, it, vi } from 'vitest';
import { createClient } from '../src/index.ts';
import { confirm, message } from './fake.ts';
import { setScene, settle } from './scene.ts';

const scene = setScene();

describe('a subscription on one link after the other', () => {
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
});
