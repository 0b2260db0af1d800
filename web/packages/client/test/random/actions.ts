import { vi } from 'vitest';
import type { Client, RealtimeError, Undo } from '../../src/index.ts';
import type { Chance } from './chance.ts';
import type { Follower } from './follower.ts';
import type { Way, World } from './server.ts';

/** What was published by the client, and what became of it. */
export interface Published {
  readonly channel: string;
  readonly data: string;
  outcome: 'acknowledged' | 'refused' | 'unknown' | undefined;
}

/** A client, its server, and what the application has asked for. */
export interface Stage {
  readonly chance: Chance;
  readonly client: Client;
  readonly world: World;
  readonly followers: readonly Follower[];
  readonly published: Published[];
  /** Where the client is to be present, and with what. */
  readonly present: Map<string, string>;
  readonly page: EventTarget;
  /** What the client has is known by this. */
  readonly tab: number;
}

/** Lets happen what waits for nothing. */
export async function breathe(): Promise<void> {
  for (let i = 0; i < 12; i++) await Promise.resolve();
}

/** Lets time pass, a step at a time. */
export async function pass(ms: number, step = 250): Promise<void> {
  for (let left = ms; left > 0; left -= step) {
    vi.advanceTimersByTime(Math.min(left, step));
    await breathe();
  }
}

const refusable = ['subscribe', 'unsubscribe', 'publish', 'enter', 'leave'] as const;

/** Something that happens, if it can, and what to call it. */
export type Action = () => string | undefined | Promise<string | undefined>;

/** Makes what can happen, each as often as chance is to pick it. */
export function actionsOf({ chance, client, world, followers, published, present, page, tab }: Stage): Action[] {
  const channels = [...world.logs.channels.keys()];
  const retained: Undo[] = [];
  let last = 0;
  const anyone = (): Follower => chance.pick(followers) as Follower;
  const way = (of: Way['state'][]): Way | undefined => chance.pick(world.ways().filter((w) => of.includes(w.state)));
  const on =
    (of: Way['state'][], what: string, act: (w: Way) => unknown): Action =>
    () => {
      const w = way(of);
      if (!w || act(w) === false) return undefined;
      return `${what} link ${world.ways().indexOf(w)}`;
    };
  const carry = (what: string, one: (w: Way) => boolean): Action =>
    on(['open'], what, (w) => {
      let n = 0;
      for (const most = 1 + chance.below(6); n < most && one(w); n++) for (const f of followers) f.look();
      return n > 0;
    });
  const pump = async (): Promise<string> => {
    for (let i = 0; i < 20; i++)
      for (const w of world.ways()) {
        w.toServer();
        await breathe();
        w.toClient();
        await breathe();
        for (const f of followers) f.look();
      }
    return 'the network is quick for a moment';
  };

  function publish(): string {
    const channel = chance.pick(channels) as string;
    const entry: Published = { channel, data: `own ${tab}.${++last}`, outcome: undefined };
    published.push(entry);
    client.publish(channel, entry.data, { messageType: chance.oneIn(2) ? 'shown' : 'hidden' }).then(
      () => {
        entry.outcome = 'acknowledged';
      },
      (error: RealtimeError) => {
        entry.outcome = ['TIMED_OUT', 'UNAVAILABLE'].includes(error.reason) ? 'unknown' : 'refused';
      },
    );
    return `publish ${entry.data} to ${channel}`;
  }
  function follow(): string {
    const f = anyone();
    f.follow();
    return `follow ${f.name}`;
  }
  function unfollow(): string {
    const f = anyone();
    f.unfollow();
    return `unfollow ${f.name}`;
  }
  function refollow(): string {
    const f = anyone();
    f.unfollow();
    f.follow();
    return `follow ${f.name} again in one task`;
  }
  function watch(): string {
    const f = anyone();
    f.watch();
    return `watch ${f.name}`;
  }
  function unwatch(): string {
    const f = anyone();
    f.unwatch();
    return `unwatch ${f.name}`;
  }
  function enter(): string {
    const { name, channel } = followers[chance.below(2)] as Follower;
    const data = `data ${tab}.${++last}`;
    if (present.has(name) && chance.oneIn(2)) channel.presence.update(data);
    else channel.presence.enter(data);
    present.set(name, data);
    return `enter ${name} with ${data}`;
  }
  function leave(): string {
    const { name, channel } = followers[chance.below(2)] as Follower;
    channel.presence.leave();
    present.delete(name);
    return `leave ${name}`;
  }
  function server(): string {
    const channel = chance.pick(channels) as string;
    world.publish(channel, chance.oneIn(2) ? 'shown' : 'hidden');
    return `the server publishes to ${channel}`;
  }
  function trim(): string | undefined {
    if (!chance.oneIn(4)) return undefined;
    const channel = chance.pick(channels) as string;
    world.logs.trim(channel);
    return `the server forgets ${channel}`;
  }
  function restart(): string | undefined {
    if (!chance.oneIn(8)) return undefined;
    world.restart();
    return 'the server starts again';
  }
  function refuse(): string | undefined {
    if (!chance.oneIn(3)) return undefined;
    const type = chance.pick(refusable) ?? 'subscribe';
    const reason = chance.oneIn(2) ? 'RATE_LIMITED' : 'UNAVAILABLE';
    world.refuseNext(type, { reason, retryAfter: 300 });
    return `the server refuses the next ${type} as ${reason}`;
  }
  async function time(): Promise<string> {
    const ms = chance.pick([50, 500, 3500, 3500, 12_000]) ?? 0;
    await pass(ms);
    return `${ms} ms pass`;
  }
  const one =
    (what: string, act: () => void): Action =>
    () => {
      if (!chance.oneIn(3)) return undefined;
      act();
      return what;
    };
  const toServer = carry('carry to the server on', (w) => w.toServer());
  const toClient = carry('carry to the client on', (w) => w.toClient());
  const accept = on(['opening'], 'accept', (w) => w.accept());
  return [
    ...[follow, follow, unfollow, refollow, watch, unwatch, publish, publish, enter, leave],
    ...[server, server, server, trim, restart, refuse, time, time, pump],
    ...[toServer, toServer, toServer, toClient, toClient, toClient, accept, accept, accept],
    one('connect', client.connect),
    on(['opening', 'open'], 'drop', (w) => w.drop()),
    on(['open'], 'drain', (w) => w.drain()),
    on(['open'], 'end drained', (w) => w.drop('DRAINING', 200)),
    one('disconnect', client.disconnect),
    one('wake', () => page.dispatchEvent(new Event('visibilitychange'))),
    one('retain', () => retained.push(client.retain())),
    one('release', () => retained.pop()?.()),
  ];
}
