import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createDevtools, type Devtools } from '../src/devtools/index.ts';
import { type Client, createClient, fastBackoff, type Transport } from '../src/index.ts';
import { createHub, type Hub } from '../src/shared/hub.ts';
import { createTab } from '../src/shared/tab.ts';
import { createFakeServer, type FakeServer } from '../src/testing/index.ts';
import { type Delivery, type Frame, isDelivery, type SubscribeCommand } from '../src/wire.ts';
import { by, confirm, type FakeLink, fakeTransport, message } from './fake.ts';

let server: FakeServer;
let devtools: Devtools;
let hub: Hub;

beforeEach(() => {
  vi.useFakeTimers();
  server = createFakeServer();
  devtools = createDevtools();
  const [transport = server.transport()] = devtools.wrap([server.transport()]);
  hub = createHub(transport);
});
afterEach(() => vi.useRealTimers());

const settle = () => vi.advanceTimersByTimeAsync(500);

interface TestTab {
  readonly client: Client;
  readonly got: unknown[];
  /** Goes without a word, as a tab that crashes. */
  crash(): void;
}

/** A tab of the hub. What it posts is copied, as between tabs. */
async function tab(...channels: string[]): Promise<TestTab> {
  const seat = hub.seat((message) => queueMicrotask(() => side.receive(structuredClone(message))));
  const side = createTab((message) => seat.receive(structuredClone(message)));
  const transport: Transport = { name: 'shared', open: side.open };
  const client = createClient({ transports: [transport], reconnect: fastBackoff({ max: 100 }) });
  const got: unknown[] = [];
  for (const name of channels) client.subscribe(name, (data) => got.push(data));
  client.connect();
  await settle();
  return { client, got, crash: () => seat.gone() };
}

describe('tabs that share a connection', () => {
  it('have one link, and each gets what it wants', async () => {
    const [a, b] = [await tab('chat', 'a'), await tab('chat', 'b')];
    for (const name of ['chat', 'a', 'b']) server.publish(name, name);
    await settle();
    expect(server.opened).toBe(1);
    expect(a.got).toEqual(['chat', 'a']);
    expect(b.got).toEqual(['chat', 'b']);
    expect(server.subscribed()).toEqual(['chat', 'a', 'b']);
  });

  it('move to another link together when the server drains, and lose nothing', async () => {
    const [a, b] = [await tab('chat', 'a.*'), await tab('chat')];
    a.client.channel('chat').presence.enter('a');
    await settle();
    const states = new Set<string>();
    for (const { client } of [a, b]) client.onChange(() => states.add(client.getSnapshot().state));
    server.publish('chat', 1);
    devtools.drain();
    server.publish('chat', 2);
    const ack = a.client.publish('chat', 3);
    await settle();
    server.publish('chat', 4);
    server.publish('a.b', 5);
    await settle();
    expect(a.got).toEqual([1, 2, 3, 4, 5]);
    expect(b.got).toEqual([1, 2, 3, 4]);
    expect((await ack).position?.offset).toBe(3);
    expect([server.opened, server.links]).toEqual([2, 1]);
    expect([...states]).toEqual(['connected']);
    expect(server.members('chat').map(({ data }) => data)).toEqual(['a']);
  });

  it('stay where they are while no other server has them', async () => {
    const a = await tab('chat');
    server.refuse('DRAINING');
    devtools.drain();
    await settle();
    server.publish('chat', 1);
    await settle();
    expect(a.got).toEqual([1]);
    expect(a.client.getSnapshot().state).toBe('connected');
    server.refuse();
    await vi.advanceTimersByTimeAsync(1500);
    server.publish('chat', 2);
    await settle();
    expect(a.got).toEqual([1, 2]);
    expect([server.opened > 1, server.links]).toEqual([true, 1]);
  });

  it('unsubscribe when the last of them does', async () => {
    const [a, b] = [await tab('chat'), await tab('chat')];
    a.client.disconnect();
    await settle();
    expect(server.subscribed()).toEqual(['chat']);
    b.client.disconnect();
    await settle();
    expect(server.links).toBe(0);
  });

  it('get their own answers, and know their own messages', async () => {
    const [a, b] = [await tab(), await tab()];
    const selves: boolean[] = [];
    for (const { client } of [a, b]) client.subscribe('chat', (_, { self }) => selves.push(self));
    const acks = await Promise.all([a.client.publish('chat', 1), b.client.publish('chat', 2)]);
    await settle();
    expect(acks.map((ack) => ack.position?.offset)).toEqual([1, 2]);
    expect(selves).toEqual([true, false, false, true]);
  });

  it('spare each tab, and no other, what it does not want back', async () => {
    const [a, b] = [await tab('cursor'), await tab('cursor')];
    await a.client.publish('cursor', 'move', { ephemeral: true, excludeSelf: true });
    await settle();
    expect(a.got).toEqual([]);
    expect(b.got).toEqual(['move']);
  });

  it('move on without what they do not want back', async () => {
    const [a, b] = [await tab('chat'), await tab('chat')];
    await a.client.publish('chat', 'mine', { excludeSelf: true });
    await settle();
    expect([a.got, b.got]).toEqual([[], ['mine']]);
    expect(a.client.channel('chat').getPosition()).toEqual(b.client.channel('chat').getPosition());
  });

  /** Opens a hub for tabs that want one subscription each. What each is told is recorded. */
  function tabsOf(...wishes: Omit<SubscribeCommand, 'type'>[]) {
    const transport = fakeTransport();
    const alone = createHub(transport);
    const told: Frame[][] = wishes.map(() => []);
    const receive = told.map(
      (frames) => alone.seat((message) => 'frame' in message && frames.push(message.frame)).receive,
    );
    function reopen(): FakeLink {
      for (const [i, wish] of wishes.entries())
        receive[i]?.({
          open: { token: undefined, session: undefined, subscriptions: [{ ...wish, type: 'subscribe', id: 1 }] },
        });
      transport.link().open();
      return transport.link();
    }
    return { link: reopen(), told, receive, reopen };
  }

  it('hear of a channel and of its pattern apart', () => {
    const { link, told } = tabsOf({ channel: 'chat.a' }, { channel: 'chat.*' });
    for (const name of ['chat.a', 'chat.*']) confirm(link, name, 4);
    for (const frames of told) frames.length = 0;
    const checkpoint = { type: 'checkpoint', for: 'chat.a', offset: 5, epoch: 'e' } as const;
    const gap = { type: 'gap', for: 'chat.a', reason: 'TRUNCATED', position: { offset: 6, epoch: 'e' } } as const;
    const pattern = 'chat.*';
    link.send(checkpoint, { ...gap, pattern }, message('chat.a', 6), by(pattern, 'chat.a', 7));
    expect(told).toEqual([
      [checkpoint, message('chat.a', 6)],
      [{ ...gap, pattern }, by(pattern, 'chat.a', 7)],
    ]);
  });

  it('want different messages of a channel, and each gets its own', () => {
    const only = (...types: string[]) => ({ channel: 'chat', filter: { types } });
    const { link, told } = tabsOf(only('one'), only('one'), only('two'));
    confirm(link, 'chat', 0);
    confirm(link, 'chat', 0);
    expect(link.of('subscribe').map(({ filter }) => filter)).toEqual([{ types: ['one'] }, undefined]);
    const typed = (offset: number, type: string) => ({ ...message('chat', offset), type }) as Frame;
    link.send(typed(1, 'one'), typed(2, 'two'), typed(3, 'three'));
    const passed = (offset: number) => ({ type: 'checkpoint', for: 'chat', offset, epoch: 'e' });
    const news = told.map((frames) => frames.filter((frame) => 'type' in frame && frame.type !== 'subscribed'));
    expect(news).toEqual([
      [typed(1, 'one'), passed(2), passed(3)],
      [typed(1, 'one'), passed(2), passed(3)],
      [passed(1), typed(2, 'two'), passed(3)],
    ]);
  });

  it('resume from their own positions when the link was lost', async () => {
    const [a, b] = [await tab('chat'), await tab('chat')];
    server.publish('chat', 1);
    await settle();
    server.drop();
    server.publish('chat', 2);
    await settle();
    server.publish('chat', 3);
    await settle();
    for (const { got } of [a, b]) expect(got).toEqual([1, 2, 3]);
    expect(server.links).toBe(1);
  });

  it('resume from further back than the others, who get nothing twice', async () => {
    const late = await tab('chat');
    server.publish('chat', 1);
    await settle();
    late.client.disconnect();
    server.publish('chat', 2);
    const other = await tab('chat');
    server.publish('chat', 3);
    await settle();
    late.client.connect();
    await settle();
    server.publish('chat', 4);
    await settle();
    expect(late.got).toEqual([1, 2, 3, 4]);
    expect(other.got).toEqual([3, 4]);
  });

  it('are told of a gap only where it is theirs', async () => {
    const late = await tab('chat');
    server.publish('chat', 1);
    await settle();
    late.client.disconnect();
    for (const n of [2, 3, 4]) server.publish('chat', n);
    server.forget('chat', 1);
    const other = await tab('chat');
    for (const each of [late, other]) each.client.channel('chat').onGap(({ reason }) => each.got.push(reason));
    late.client.connect();
    await settle();
    server.publish('chat', 5);
    await settle();
    expect(late.got).toEqual([1, 'TRUNCATED', 5]);
    expect(other.got).toEqual([5]);
  });

  it('begin with the newest messages though another has the channel', async () => {
    const first = await tab('chat');
    for (const n of [1, 2, 3]) server.publish('chat', n);
    const second = await tab();
    const got: unknown[] = [];
    second.client.channel('chat', { recent: 2 }).subscribe((data) => got.push(data));
    await settle();
    server.publish('chat', 4);
    await settle();
    expect(got).toEqual([2, 3, 4]);
    expect(first.got).toEqual([1, 2, 3, 4]);
  });

  it('go on where they are when one that begins with the newest messages needs the subscription anew', () => {
    const { link, told } = tabsOf({ channel: 'chat' }, { channel: 'chat', recent: 1, presence: true });
    confirm(link, 'chat', 3);
    link.send(message('chat', 4)); // on its way while the second asks
    expect(link.of('subscribe')[1]).toMatchObject({ since: { offset: 3, epoch: 'e' }, recent: 0, presence: true });
    confirm(link, 'chat', 3, true);
    link.send(...[4, 5, 6].map((offset) => message('chat', offset))); // published between the two subscriptions
    const asked = link.sent.at(-1);
    expect(asked).toMatchObject({ type: 'history', limit: 1, newest: true });
    const page = { messages: [message('chat', 5)] as Delivery[], offset: 5, epoch: 'e' };
    link.send({ type: 'history', id: asked?.id, for: 'chat', next: undefined, ...page });
    const offsets = told.map((frames) => frames.flatMap((frame) => (isDelivery(frame) ? [frame.offset] : [])));
    expect([...new Set(offsets[0])]).toEqual([4, 5, 6]);
    const [, second = []] = told;
    const confirmed = second.findIndex((frame) => 'type' in frame && frame.type === 'subscribed');
    expect(second.slice(confirmed).flatMap((frame) => (isDelivery(frame) ? [frame.offset] : []))).toEqual([5, 6]);
  });

  it('ask again where the server could not end the subscription that is to begin anew', () => {
    const only = (...types: string[]) => ({ channel: 'chat', filter: { types } });
    const { link, told } = tabsOf(only('one'), { ...only('two'), recent: 1 });
    confirm(link, 'chat', 3);
    const began = { type: 'subscribed', for: 'chat', offset: 3, epoch: 'e' } as const;
    link.send({ ...began, id: link.of('subscribe').at(-1)?.id, already: true }); // its unsubscribe was one command too many
    expect(told[1]).toEqual([]);
    vi.advanceTimersByTime(1000);
    expect(link.sent.slice(-2)).toMatchObject([
      { type: 'unsubscribe', channel: 'chat' },
      { type: 'subscribe', channel: 'chat', filter: undefined },
    ]);
    link.send({ ...began, id: link.of('subscribe').at(-1)?.id });
    const asked = link.sent.at(-1);
    expect(asked).toMatchObject({ type: 'history', channel: 'chat', limit: 1 });
    link.send({ type: 'history', id: asked?.id, for: 'chat', next: undefined, messages: [], offset: 3, epoch: 'e' });
    expect(told[1]).toMatchObject([{ ...began, id: 1 }, { type: 'checkpoint' }]);
  });

  const isSubscribed = (frame: Frame) => 'type' in frame && frame.type === 'subscribed';

  it('are given nothing before they are told that they are subscribed, and join where a replay ends', () => {
    const { link, told } = tabsOf({ channel: 'chat', recent: 2 }, { channel: 'chat', presence: true });
    const began = { type: 'subscribed', for: 'chat', offset: 0, epoch: 'e' } as const;
    link.send({ ...began, id: link.of('subscribe').at(-1)?.id, head: { offset: 2, epoch: 'e' } });
    link.send(message('chat', 1), message('chat', 2)); // the second asks again, for presence
    expect(link.of('subscribe').at(-1)).toMatchObject({ since: { offset: 2, epoch: 'e' }, presence: true });
    expect(told[1]).toEqual([]);
    confirm(link, 'chat', 2, true);
    link.send(message('chat', 3));
    expect(told[1]).toMatchObject([{ ...began, offset: 2, resumed: false }, { offset: 3 }]); // it gave no position
  });

  it('do not take the answer to what another has given up for theirs', () => {
    const { link, told, receive } = tabsOf({ channel: 'chat' }, { channel: 'other' });
    receive[0]?.({ send: { type: 'unsubscribe', channel: 'chat' } });
    receive[1]?.({ send: { type: 'subscribe', channel: 'chat', id: 1 } });
    const [first, second] = link.of('subscribe').filter(({ channel }) => channel === 'chat');
    const began = { type: 'subscribed', for: 'chat', epoch: 'e' } as const;
    link.send({ ...began, id: first?.id, offset: 1 });
    expect(told.flat()).toEqual([]);
    link.send({ ...began, id: second?.id, offset: 2 });
    expect(told.map((frames) => frames.filter(isSubscribed).length)).toEqual([0, 1]);
  });

  it('leave where a link before has entered, if they have left or gone meanwhile', () => {
    const { link, receive, reopen } = tabsOf({ channel: 'a' }, { channel: 'a' });
    for (const channel of ['left', 'gone', 'there'])
      receive[0]?.({ send: { type: 'enter', channel, data: channel, id: undefined } });
    link.drop();
    const next = reopen();
    receive[0]?.({ send: { type: 'leave', channel: 'left' } });
    receive[0]?.({ send: { type: 'enter', channel: 'there', data: 'there' } });
    const left = () => next.sent.flatMap((c) => (c.type === 'leave' ? [c.channel] : []));
    expect(left()).toEqual(['left']);
    vi.advanceTimersByTime(1000);
    expect(new Set(left())).toEqual(new Set(['left', 'gone']));
  });

  it('keep what they have when one of them may not read the newest messages', () => {
    const { link, told } = tabsOf({ channel: 'chat' }, { channel: 'chat', recent: 1 });
    confirm(link, 'chat', 3);
    link.send({ type: 'error', id: link.sent.at(-1)?.id, reason: 'FORBIDDEN', message: 'no history' });
    link.send(message('chat', 4));
    const types = told.map((frames) => frames.map((frame) => ('type' in frame ? frame.type : frame.channel)));
    expect(types[0]?.filter((type) => type !== 'subscribed')).toEqual(['chat']);
    expect(types[1]).toContain('error');
    expect(types[1]).not.toContain('chat');
  });

  it('follow patterns together', async () => {
    const [a, b] = [await tab('chat.*'), await tab('chat.*')];
    server.publish('chat.x', 1);
    server.publish('chat.y', 2);
    await settle();
    for (const { got } of [a, b]) expect(got).toEqual([1, 2]);
  });

  it('are present until the last one leaves, and show what was entered last', async () => {
    const [a, b] = [await tab(), await tab()];
    a.client.channel('room').presence.enter('a');
    await settle();
    const leave = b.client.channel('room').presence.enter('b');
    await settle();
    expect(server.members('room').map((m) => m.data)).toEqual(['b']);
    leave();
    await settle();
    expect(server.members('room').map((m) => m.data)).toEqual(['a']);
    a.crash();
    await settle();
    expect(server.members('room')).toEqual([]);
  });

  it('each see who is present', async () => {
    const [a, b] = [await tab('room'), await tab('room')];
    const seen = [a, b].map(({ client }) => client.channel('room').presence);
    for (const presence of seen) {
      presence.onChange(() => {});
      await settle();
    }
    a.client.channel('room').presence.enter({ name: 'Ada' });
    await settle();
    for (const presence of seen) expect(presence.getSnapshot().members.map((m) => m.data)).toEqual([{ name: 'Ada' }]);
    server.publish('room', 1);
    await settle();
    for (const { got } of [a, b]) expect(got).toEqual([1]);
  });

  it('are each told of a refusal', async () => {
    server.refuseCommands((c) => (c.type === 'subscribe' ? { reason: 'FORBIDDEN' } : undefined));
    const [a, b] = [await tab('secret'), await tab('secret')];
    for (const { client } of [a, b]) expect(client.channel('secret').getState()).toBe('failed');
    expect(a.client.getSnapshot().state).toBe('connected');
  });
});
