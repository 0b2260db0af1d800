import { describe, expect, it } from 'vitest';
import { by, confirm, message } from './fake.ts';
import { setScene, settle } from './scene.ts';

const scene = setScene();

describe('a pattern and its channels', () => {
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
});
