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

  it('is left on the next link, if it was undone while there was none', async () => {
    const client = await scene.connected();
    const leave = client.channel('room').presence.enter('me');
    await settle();
    scene.transport.link().drop();
    leave();
    await vi.advanceTimersByTimeAsync(3000);
    scene.transport.link().open();
    expect(scene.transport.link().sent.map((c) => c.type)).toEqual(['leave']);
    scene.transport.link().drop();
    await vi.advanceTimersByTimeAsync(4500);
    scene.transport.link().open();
    expect(scene.transport.link().sent).toEqual([]);
  });

  it('updates without leaving', async () => {
    const client = await scene.connected();
    const { presence } = client.channel('room');
    presence.enter(1);
    await settle();
    presence.update(2);
    await settle();
    expect(scene.transport.link().sent.map((c) => c.type)).toEqual(['enter', 'update']);
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
