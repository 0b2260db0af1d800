import type { Channel, Client, Gap, Message, Undo } from '../../src/index.ts';
import { matches } from '../../src/names.ts';
import type { ChannelOptions, Position } from '../../src/wire.ts';
import { isPattern, type Logs, type Placed } from './logs.ts';

/** The handlers of a channel or pattern, and what is known of what they are owed. */
export interface Follower {
  readonly name: string;
  readonly channel: Channel;
  /** Handlers and watchers. */
  readonly size: number;
  readonly isWatching: boolean;
  follow(): void;
  unfollow(): void;
  watch(): void;
  unwatch(): void;
  /** Looks whether it has been confirmed since. */
  look(): void;
  /** Says what is wrong now that everything has settled. */
  check(): void;
}

/** What a handler has had: the number of messages of each channel, first to last, that it is not owed any more. */
type Had = Map<string, number>;

interface Handler {
  readonly had: Had;
  /** What it has received. */
  readonly got: Set<string>;
  started: boolean;
  undo: Undo;
}

/** From when a name is wanted until it is not. */
interface Period {
  confirmed: boolean;
  /** How many messages each channel had when it began. */
  readonly before: ReadonlyMap<string, number>;
}

/** What a follower has to bear. */
export interface Bears {
  /** It may receive what was published before it was wanted. */
  readonly older: boolean;
  /** It begins somewhere on the way from where it is told to what there is by then. */
  readonly vague: boolean;
}

/** Makes the follower of a name. */
export function createFollower(
  client: Client,
  name: string,
  options: ChannelOptions,
  logs: Logs,
  bears: Bears,
  fault: (text: string) => never,
): Follower {
  const channel = client.channel(name, options);
  const handlers: Handler[] = [];
  const watchers: Undo[] = [];
  const types = options.filter?.types;
  let period: Period | undefined;

  const owed = ({ type = '' }: Placed): boolean => !types || types.includes(type);
  const own = (): string[] => [...logs.channels.keys()].filter((c) => c === name || matches(name, c));
  const all = (of: string): readonly Placed[] => logs.channels.get(of) ?? [];

  /** How many messages of a channel a place stands for. */
  function upTo(of: string, at: Position): number {
    const epoch = Number(at.epoch.slice(1));
    const isAfter = (m: Placed): boolean => {
      const theirs = Number(m.epoch.slice(1));
      const place = isPattern(name) && of !== name ? m.sequence : m.offset;
      return theirs > epoch || (theirs === epoch && place > at.offset);
    };
    const first = all(of).findIndex(isAfter);
    return first < 0 ? all(of).length : first;
  }

  function startAt(had: Had, at: Position): void {
    for (const c of own()) if (!had.has(c)) had.set(c, bears.vague ? all(c).length : upTo(c, at));
  }

  function receive(handler: Handler, message: Message): void {
    const { channel: of, position } = message;
    const index = all(of).findIndex((m) => m.epoch === position?.epoch && m.offset === position.offset);
    if (index < 0) fault(`${name} received what was never placed`);
    const text = `${of} ${index + 1} (${position?.offset}@${position?.epoch})`;
    if (!bears.older && !options.recent && index < (period?.before.get(of) ?? 0))
      fault(`${name} received ${text}, of before it was wanted`);
    const had = handler.had.get(of);
    if (had !== undefined && index < had) {
      if (!bears.vague || handler.got.has(text)) fault(`${name} received ${text} again, or too late`);
      handler.got.add(text);
      return;
    }
    handler.got.add(text);
    const missed = had === undefined ? undefined : all(of).slice(had, index).find(owed);
    if (missed) fault(`${name} received ${text} without ${missed.offset}@${missed.epoch}`);
    handler.had.set(of, index + 1);
  }

  function onGap(gap: Gap): void {
    const { position } = gap;
    if (!position) return;
    for (const { had } of handlers)
      for (const c of own())
        if (gap.channel === c) {
          const epoch = position.epoch;
          const first = all(c).findIndex((m) => later(m, epoch, position.offset));
          had.set(c, Math.max(had.get(c) ?? 0, first < 0 ? all(c).length : first));
        } else if (gap.channel === name) had.set(c, Math.max(had.get(c) ?? 0, upTo(c, position)));
  }

  function begin(): void {
    period ??= { confirmed: false, before: new Map(own().map((c) => [c, all(c).length])) };
  }

  function look(): void {
    if (handlers.length + watchers.length === 0) {
      period = undefined;
      return;
    }
    begin();
    if (!period || period.confirmed || channel.getState() !== 'subscribed') return;
    const at = channel.getPosition();
    if (!at) {
      fault(`${name} is subscribed, and nobody knows where`);
      return;
    }
    period.confirmed = true;
    const head = logs.position(name).offset;
    if (options.recent && !logs.forgot && at.offset > head - Math.min(options.recent, head))
      fault(`${name} began at ${at.offset} of ${head} without the ${options.recent} newest`);
    for (const handler of handlers) if (!handler.started) startAt(handler.had, at);
    for (const handler of handlers) handler.started = true;
  }

  channel.onGap(onGap);
  return {
    name,
    channel,
    get size() {
      return handlers.length + watchers.length;
    },
    get isWatching() {
      return watchers.length > 0;
    },
    follow() {
      begin();
      const at = period?.confirmed ? channel.getPosition() : undefined;
      const had: Had = new Map();
      if (at && !isPattern(name)) startAt(had, at);
      else if (at)
        for (const { had: theirs, started } of handlers.slice(0, 1))
          if (started) for (const [c, n] of theirs) had.set(c, n);
      const handler: Handler = { had, got: new Set(), started: at !== undefined, undo: () => {} };
      handler.undo = channel.subscribe((_, m) => receive(handler, m));
      handlers.push(handler);
    },
    unfollow: () => handlers.shift()?.undo(),
    watch() {
      begin();
      watchers.push(channel.presence.onChange(() => {}));
    },
    unwatch: () => watchers.shift()?.(),
    look,
    check() {
      const state = channel.getState();
      if (handlers.length + watchers.length === 0) {
        if (state !== 'idle') fault(`${name} is ${state}, and nobody wants it`);
        return;
      }
      if (state !== 'subscribed') fault(`${name} is ${state}`);
      for (const { had } of handlers)
        for (const c of own()) {
          if (isPattern(name) && !had.has(c)) continue;
          const missed = all(c)
            .slice(had.get(c) ?? 0)
            .find(owed);
          if (missed) fault(`${name} never received ${c} ${missed.offset}@${missed.epoch}`);
        }
    },
  };
}

function later(m: Placed, epoch: string, offset: number): boolean {
  const [theirs, ours] = [m.epoch, epoch].map((e) => Number(e.slice(1))) as [number, number];
  return theirs > ours || (theirs === ours && m.offset > offset);
}
