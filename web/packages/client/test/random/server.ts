import { RealtimeError } from '../../src/index.ts';
import { matches } from '../../src/names.ts';
import type { LinkContext, LinkEvents, Transport } from '../../src/transport.ts';
import type { Delivery, ErrorBody, Frame, Notice, Numbered, Position, SubscribeCommand } from '../../src/wire.ts';
import type { Chance } from './chance.ts';
import { createLogs, isPattern, type Logs } from './logs.ts';

/** One link, seen from the network. What is under way moves on when it is told to. */
export interface Way {
  readonly state: 'opening' | 'open' | 'gone';
  /** The server takes what the client wants to open. */
  accept(): void;
  /** Carries the oldest of what is under way to the server, or to the client. */
  toServer(): boolean;
  toClient(): boolean;
  drain(): void;
  /** Ends it, with all that is under way. */
  drop(reason?: string, retryAfter?: number): void;
}

/** A server that does what docs/PROTOCOL.md says, and a network that does as the test says. */
export interface World {
  readonly transport: Transport;
  readonly logs: Logs;
  /** What links are subscribed to by their address. */
  readonly joins: string | undefined;
  ways(): readonly Way[];
  publish(channel: string, type: string): void;
  /** What sessions are subscribed to, but for what they were joined to by an address. */
  subscribed(): readonly string[];
  /** Who is present where, and with what. */
  present(): readonly string[];
  members(channel: string): readonly unknown[];
  /** Refuses the next command of a type. */
  refuseNext(type: Numbered['type'], why: ErrorBody): void;
  restart(): void;
}

interface Session {
  readonly token: string;
  readonly present: Map<string, unknown>;
  way: Way | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
  taken: (() => void) | undefined;
}

interface Subscribed {
  readonly command: SubscribeCommand;
  /** The address of the link made it. */
  joined: boolean;
  watched: boolean;
  /** Places without a message, that are told before the next one. */
  readonly passed: Map<string, Position>;
}

/** How long who has lost his connection stays present. */
const linger = 15_000;

/** Makes the world. Links join `joins` by themselves. */
export function createWorld(names: readonly string[], joins: string | undefined, chance: Chance): World {
  const logs = createLogs(names);
  const ways = new Set<Way>();
  const open = new Map<Way, { subscriptions: Map<string, Subscribed>; post: (frame: Frame) => void }>();
  const sessions = new Map<string, Session>();
  const versions = new Map<string, number>();
  const refusals = new Map<string, ErrorBody>();
  let count = 0;
  let published = 0;

  function deliver({ sequence: _, ...message }: Delivery & { readonly sequence: number }): void {
    for (const { subscriptions, post } of open.values())
      for (const [name, s] of subscriptions)
        if (name === message.channel || matches(name, message.channel)) pass(s, message, post);
  }
  function pass(s: Subscribed, message: Delivery, post: (frame: Frame) => void): void {
    const pattern = isPattern(s.command.channel) ? { pattern: s.command.channel } : {};
    const at = { offset: message.offset ?? 0, epoch: message.epoch ?? '' };
    const { types } = s.command.filter ?? {};
    const shown = !types || types.includes(message.type ?? '');
    if (!shown) s.passed.set(message.channel, at);
    if (shown || chance.oneIn(2))
      for (const [channel, to] of s.passed) post({ type: 'checkpoint', for: channel, ...to, ...pattern });
    if (!shown) return;
    s.passed.clear();
    post({ ...message, ...pattern });
  }

  function roster(channel: string): { user: string; data: unknown; since: number; sessions: number }[] {
    return [...sessions.values()].flatMap((s) =>
      s.present.has(channel) ? [{ user: s.token, data: s.present.get(channel), since: 0, sessions: 1 }] : [],
    );
  }
  function presenceOf(channel: string): Extract<Notice, { type: 'presence' }> {
    const members = roster(channel);
    const version = versions.get(channel) ?? 0;
    return { type: 'presence', for: channel, version, epoch: 'p', total: members.length, members };
  }
  function present(session: Session, channel: string, data: { readonly data: unknown } | undefined): void {
    const was = session.present.has(channel);
    if (!was && !data) return;
    const before = roster(channel).find(({ user }) => user === session.token);
    if (data) session.present.set(channel, data.data);
    else session.present.delete(channel);
    versions.set(channel, (versions.get(channel) ?? 0) + 1);
    const { members: _, ...state } = presenceOf(channel);
    const member = roster(channel).find(({ user }) => user === session.token) ?? before;
    if (!member) return;
    const action = data ? (was ? 'update' : 'enter') : 'leave';
    for (const { subscriptions, post } of open.values())
      if (subscriptions.get(channel)?.watched) post({ ...state, changes: [{ action, ...member } as const] });
  }
  function end(session: Session): void {
    clearTimeout(session.timer);
    for (const channel of [...session.present.keys()]) present(session, channel, undefined);
    sessions.delete(session.token);
  }

  function connect(context: LinkContext, events: LinkEvents): ReturnType<Transport['open']> {
    const up: Numbered[] = [{ type: 'hello' }, ...context.subscriptions];
    const down: (() => void)[] = [];
    const subscriptions = new Map<string, Subscribed>();
    let state: Way['state'] = 'opening';
    let session: Session | undefined;
    let said: 'left' | 'abandoned' | undefined; // how the client has closed it

    const post = (frame: Frame): void => {
      down.push(() => {
        events.frame(structuredClone(frame));
        if (!('channel' in frame) && frame.type === 'hello') events.opened();
      });
    };
    const way: Way = {
      get state() {
        return state;
      },
      accept() {
        state = 'open';
        const taken = context.session === undefined ? undefined : sessions.get(context.session);
        taken?.taken?.();
        session = taken ?? { token: `s${++count}`, present: new Map(), way, timer: undefined, taken: undefined };
        clearTimeout(session.timer);
        sessions.set(session.token, session);
        session.way = way;
        session.taken = () => {
          open.delete(way);
          session = undefined;
          up.length = 0;
          down.push(() => way.drop('DISCONNECTED'));
        };
        open.set(way, { subscriptions, post });
        if (!joins) return;
        const command = { type: 'subscribe', channel: joins } as const;
        subscriptions.set(joins, { command, joined: true, watched: false, passed: new Map() });
        const at = logs.position(joins);
        post({ type: 'subscribed', for: joins, ...at, resumed: false, head: at });
      },
      toServer() {
        const command = state === 'open' ? up.shift() : undefined;
        if (command && session) run(session, command);
        if (up.length === 0 && said && state !== 'gone') finish(said === 'left');
        return command !== undefined;
      },
      toClient() {
        const next = said ? undefined : down.shift();
        next?.();
        return next !== undefined;
      },
      drain: () => post({ type: 'draining', retryAfter: chance.below(3) * 400 }),
      drop(reason = 'CONNECTION_LOST', retryAfter) {
        finish(false);
        if (!said) events.closed(new RealtimeError({ reason, ...(retryAfter !== undefined && { retryAfter }) }));
      },
    };

    function finish(leave: boolean): void {
      state = 'gone';
      ways.delete(way);
      open.delete(way);
      const ended = session;
      session = undefined;
      if (!ended) return;
      ended.taken = undefined;
      if (leave) end(ended);
      else ended.timer = setTimeout(() => end(ended), linger);
    }

    function run(by: Session, command: Numbered): void {
      const { id } = command;
      const of = 'channel' in command ? { for: command.channel } : {};
      const refusal = refusals.get(command.type);
      if (refusal) {
        refusals.delete(command.type);
        post({ type: 'error', id, ...of, ...refusal });
        return;
      }
      const reply = (notice: Notice): void => {
        if (id !== undefined) post({ ...notice, id });
      };
      if (command.type === 'subscribe') subscribe(command, reply);
      else if (command.type === 'unsubscribe') {
        subscriptions.delete(command.channel);
        reply({ type: 'unsubscribed', for: command.channel });
      } else if (command.type === 'publish') {
        const { type: _, id: __, messageType: type, channel, data, messageId } = command;
        const { message, duplicate } = logs.add({ channel, data, messageId, type });
        reply({ type: 'published', for: channel, offset: message.offset, epoch: message.epoch, duplicate });
        if (!duplicate) deliver(message);
      } else if (command.type === 'enter') {
        present(by, command.channel, { data: command.data });
        reply({ type: 'present', for: command.channel, version: 0 });
      } else if (command.type === 'leave') {
        present(by, command.channel, undefined);
        reply({ type: 'present', for: command.channel, version: 0 });
      } else if (command.type === 'history') {
        const { channel, limit = 0 } = command;
        const page = { messages: logs.newest(channel, limit).map(plain), next: undefined };
        reply({ type: 'history', for: channel, ...page, ...logs.position(channel) });
      } else if (command.type === 'hello') post({ type: 'hello', sessionToken: by.token });
      else if (command.type === 'ping') post({ type: 'pong' });
      else throw new Error(`nobody sends ${command.type} here`);
    }

    function subscribe(command: SubscribeCommand, reply: (notice: Notice) => void): void {
      const { type: _, channel, presence = false, since, recent, filter } = command;
      const there = subscriptions.get(channel);
      if (there && !(there.joined && (since || recent || filter))) {
        there.watched ||= there.joined && presence;
        there.joined = false;
        reply({ type: 'subscribed', for: channel, ...logs.position(channel), already: true });
        if (there.watched) post(presenceOf(channel));
        return;
      }
      subscriptions.set(channel, { command, joined: false, watched: presence, passed: new Map() });
      const { at, resumed, frames } = logs.begin(command);
      reply({ type: 'subscribed', for: channel, ...at, resumed, head: logs.position(channel) });
      if (presence) post(presenceOf(channel));
      for (const frame of frames)
        if ('type' in frame && frame.type === 'gap') post(frame as Notice);
        else pass(subscriptions.get(channel) as Subscribed, plain(frame as Delivery), post);
    }

    ways.add(way);
    return {
      buffered: 0,
      send: (command) => void up.push(structuredClone(command)),
      close(leave) {
        said = leave ? 'left' : 'abandoned';
        if (state === 'opening') finish(false);
      },
    };
  }

  return {
    transport: { name: 'random', open: connect },
    logs,
    joins,
    ways: () => [...ways],
    publish: (channel, type) => deliver(logs.add({ channel, type, data: `backend ${++published}` }).message),
    subscribed: () =>
      [...open.values()].flatMap(({ subscriptions }) =>
        [...subscriptions].filter(([, s]) => !s.joined).map(([name]) => name),
      ),
    present: () => [...sessions.values()].flatMap((s) => [...s.present].map(([name, data]) => `${name} as ${data}`)),
    members: (channel) => roster(channel).map(({ data }) => data),
    refuseNext: (type, why) => void refusals.set(type, why),
    restart() {
      logs.restart();
      for (const way of [...ways]) way.drop();
      for (const session of [...sessions.values()]) end(session);
    },
  };
}

function plain(message: Delivery): Delivery {
  const { sequence: _, ...rest } = message as Delivery & { sequence?: number };
  return rest;
}
