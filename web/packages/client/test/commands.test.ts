import { describe, expect, it, vi } from 'vitest';
import { createClient, type RealtimeError } from '../src/index.ts';
import { setScene, settle } from './scene.ts';

const scene = setScene();

describe('publishing', () => {
  it('waits for a connection, and keeps the order', async () => {
    const client = createClient({ transports: [scene.transport] });
    client.send('chat', 1);
    client.send('chat', 2);
    expect(client.getSnapshot().queued).toBe(2);
    client.connect();
    await settle();
    scene.transport.link().open();
    expect(
      scene.transport
        .link()
        .of('publish')
        .map((c) => c.data),
    ).toEqual([1, 2]);
  });

  it('follows the subscription of the same task', async () => {
    const client = await scene.connected();
    client.subscribe('chat', () => {});
    client.send('chat', 'first');
    expect(scene.transport.link().sent.map((c) => c.type)).toEqual(['subscribe', 'publish']);
  });

  it('sends again under the same id what was not acknowledged', async () => {
    const client = await scene.connected();
    const ack = client.publish('chat', 'hi');
    const first = scene.transport.link().of('publish')[0];
    await scene.reconnected();
    const second = scene.transport.link().of('publish')[0];
    expect(second).toEqual(first);
    expect(first?.messageId).toBeTruthy();
    scene.transport.link().send({
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

  it('takes bytes up to the largest message', async () => {
    const client = await scene.connected();
    const bytes = Uint8Array.from({ length: 512 * 1024 }, (_, i) => i);
    client.publish('chat', bytes, { ephemeral: true });
    const [sent] = scene.transport.link().of('publish');
    expect(sent).toMatchObject({ encoding: 'base64' });
    expect(Buffer.from(String(sent?.data), 'base64').equals(bytes)).toBe(true);
  });

  it('refuses more than the queue holds, and what is too old', async () => {
    const client = createClient({ transports: [scene.transport], queue: { max: 1, ttl: 1000 } });
    const old = client.publish('chat', 1).catch((e: RealtimeError) => e.reason);
    await expect(client.publish('chat', 2)).rejects.toMatchObject({ reason: 'QUEUE_FULL' });
    await vi.advanceTimersByTimeAsync(1000);
    expect(await old).toBe('TIMED_OUT');
  });

  it('goes on one by one, in order, where the server has had too much', async () => {
    const client = await scene.connected();
    const outcomes: string[] = [];
    for (const n of [1, 2, 3, 4])
      client.publish('chat', n).then(
        () => outcomes.push(`${n} published`),
        (error: RealtimeError) => outcomes.push(`${n} ${error.reason}`),
      );
    await settle();
    const link = scene.transport.link();
    const first = link.of('publish');
    const answer = (i: number): void =>
      link.send({ type: 'published', id: link.of('publish')[i]?.id, for: 'chat', offset: i, epoch: 'e' });
    answer(0);
    for (const { id } of first.slice(1))
      link.send({ type: 'error', id, for: 'chat', reason: 'RATE_LIMITED', retryAfter: 50 });
    client.send('chat', 5);
    await vi.advanceTimersByTimeAsync(49);
    expect(link.of('publish')).toHaveLength(4);
    await vi.advanceTimersByTimeAsync(1);
    for (const n of [4, 5, 6, 7]) {
      expect(link.of('publish')).toHaveLength(n + 1);
      answer(n);
    }
    await settle();
    expect(link.of('publish').map((c) => c.data)).toEqual([1, 2, 3, 4, 2, 3, 4, 5]);
    expect(link.of('publish')[4]?.messageId).toBe(first[1]?.messageId);
    expect(outcomes).toEqual(['1 published', '2 published', '3 published', '4 published']);
    client.send('chat', 6);
    client.send('chat', 7);
    expect(link.of('publish')).toHaveLength(10); // together again
  });

  it('rejects what the server refuses', async () => {
    const client = await scene.connected();
    const ack = client.publish('chat', 1);
    const id = scene.transport.link().of('publish')[0]?.id ?? 0;
    scene.transport.link().send({ type: 'error', id, reason: 'TOO_LARGE', for: 'chat', limit: 5 });
    await expect(ack).rejects.toMatchObject({ reason: 'TOO_LARGE', channel: 'chat', limit: 5, retryable: false });
  });

  it('drops ephemeral messages when there is no connection', async () => {
    const client = createClient({ transports: [scene.transport] });
    await expect(client.publish('chat', 'typing', { ephemeral: true })).rejects.toMatchObject({
      reason: 'NOT_CONNECTED',
    });
  });

  it('knows its own messages', async () => {
    const client = await scene.connected();
    const self: boolean[] = [];
    client.subscribe('chat', (_, m) => self.push(m.self));
    void client.publish('chat', 1);
    const messageId = scene.transport.link().of('publish')[0]?.messageId ?? '';
    scene.transport
      .link()
      .send({ channel: 'chat', data: 1, messageId }, { channel: 'chat', data: 1, messageId: 'other' });
    expect(self).toEqual([true, false]);
  });
});
