import { describe, expect, it, vi } from 'vitest';
import { confirm } from './fake.ts';
import { setScene, settle } from './scene.ts';

const scene = setScene();

describe('presence', () => {
  const member = (user: string, data?: unknown) => ({ user, data, since: 1, sessions: 1 });

  it('is entered again on each link', async () => {
    const client = await scene.connected();
    const undo = client.channel('room').presence.enter({ name: 'Ada' });
    await settle();
    expect(scene.transport.link().of('enter')).toMatchObject([{ data: { name: 'Ada' } }]);
    await scene.reconnected();
    expect(scene.transport.link().of('enter')).toHaveLength(1);
    undo();
    await settle();
    expect(scene.transport.link().of('leave')).toHaveLength(1);
  });

  it('is left on every link that takes the session over, since no answer says that it was heard', async () => {
    const client = await scene.connected();
    const leave = client.channel('room').presence.enter('me');
    await settle();
    scene.transport.link().drop();
    leave();
    for (const delay of [3000, 4500]) {
      await vi.advanceTimersByTimeAsync(delay);
      scene.transport.link().open();
      expect(scene.transport.link().sent.map((c) => c.type)).toEqual(['leave']);
      scene.transport.link().drop();
    }
    client.disconnect();
    client.connect();
    await settle();
    scene.transport.link().open();
    expect(scene.transport.link().sent).toEqual([]);
  });

  it('is entered again where that was refused for now, and so is left', async () => {
    const client = await scene.connected();
    const { presence } = client.channel('room');
    const link = scene.transport.link();
    const busy = { type: 'error', for: 'room', reason: 'RATE_LIMITED', retryAfter: 300 } as const;
    presence.enter('me');
    await settle();
    link.send(busy);
    await vi.advanceTimersByTimeAsync(300);
    expect(link.sent.map((c) => c.type)).toEqual(['enter', 'enter']);
    presence.leave();
    await settle();
    link.send(busy);
    await vi.advanceTimersByTimeAsync(300);
    expect(link.of('leave').filter((c) => c.type === 'leave')).toHaveLength(2);
  });

  it('is entered with other data without being left', async () => {
    const client = await scene.connected();
    const { presence } = client.channel('room');
    presence.enter(1);
    await settle();
    presence.update(2);
    await settle();
    expect(scene.transport.link().sent.map((c) => c.type)).toEqual(['enter', 'enter']);
  });

  it('applies changes by version', async () => {
    const client = await scene.connected();
    const { presence } = client.channel('room');
    presence.onChange(() => {});
    await settle();
    expect(scene.transport.link().of('subscribe')).toMatchObject([{ presence: true }]);
    const link = scene.transport.link();
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
    const client = await scene.connected();
    client.subscribe('room', () => {});
    await settle();
    confirm(scene.transport.link(), 'room', 7);
    client.channel('room').presence.onChange(() => {});
    await settle();
    expect(scene.transport.link().sent.slice(1)).toMatchObject([
      { type: 'unsubscribe' },
      { type: 'subscribe', presence: true, since: { offset: 7 } },
    ]);
  });
});
