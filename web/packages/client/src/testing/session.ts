import { matches } from '../names.ts';
import type { LinkEvents } from '../transport.ts';
import type { Delivery, ErrorBody, Frame, MemberBody, Notice, Numbered, Position } from '../wire.ts';
import type { Log } from './log.ts';

/** What sessions share. */
export interface House {
  log(channel: string): Log;
  sessions(): Iterable<Session>;
  /** The members of a channel, and the number of that state. */
  members(channel: string): { readonly members: readonly MemberBody[]; readonly version: number };
  /** Makes a session present, or no longer. */
  present(session: Session, channel: string, data: { readonly data: unknown } | undefined): void;
  /** Why a command is refused, if the test wants that. */
  refuses(command: Numbered): ErrorBody | undefined;
}

/** One client's stay at the fake server. */
export interface Session {
  readonly id: string;
  readonly user: string;
  /** Commands, oldest first. */
  readonly commands: readonly Numbered[];
  readonly channels: readonly string[];
  run(command: Numbered): void;
  deliver(message: Delivery): void;
  send(frame: Frame): void;
  watches(channel: string): boolean;
}

/** Makes the session of a link. */
export function createSession(house: House, id: string, user: string, events: LinkEvents): Session {
  const commands: Numbered[] = [];
  const subscriptions = new Map<string, { readonly presence: boolean }>();
  const send = events.frame;
  const session: Session = {
    id,
    user,
    commands,
    get channels() {
      return [...subscriptions.keys()];
    },
    run(command) {
      commands.push(command);
      const refusal = house.refuses(command);
      const of = 'channel' in command ? { for: command.channel } : {};
      if (refusal) send({ type: 'error', id: command.id, ...of, ...refusal });
      else answer(command);
    },
    deliver(message) {
      for (const name of subscriptions.keys())
        if (name === message.channel) send(message);
        else if (matches(name, message.channel)) send({ ...message, pattern: name });
    },
    send,
    watches: (channel) => subscriptions.get(channel)?.presence ?? false,
  };

  function reply(id: number | undefined, notice: Notice): void {
    if (id !== undefined) send({ ...notice, id });
  }

  function answer(command: Numbered): void {
    const { id } = command;
    switch (command.type) {
      case 'subscribe':
        subscribe(command);
        break;
      case 'unsubscribe':
        subscriptions.delete(command.channel);
        reply(id, { type: 'unsubscribed', for: command.channel });
        break;
      case 'publish':
        publish(command);
        break;
      case 'history': {
        const log = house.log(command.channel);
        const { newest, since, limit = 100, page = '0' } = command;
        const all = log.messages().filter((m) => !since || newest || (m.offset ?? 0) > since.offset);
        const ordered = newest ? all.toReversed() : all;
        const to = Number(page) + limit;
        reply(id, {
          type: 'history',
          for: command.channel,
          messages: ordered.slice(Number(page), to),
          ...log.position(),
          ...(to < ordered.length && { next: String(to) }),
        });
        break;
      }
      case 'enter':
      case 'update':
        house.present(session, command.channel, { data: command.data });
        reply(id, { type: 'present', for: command.channel, version: house.members(command.channel).version });
        break;
      case 'leave':
        house.present(session, command.channel, undefined);
        break;
      case 'presence':
        reply(id, presence(command.channel));
        break;
      case 'positions': {
        const positions: Record<string, Position> = Object.fromEntries(
          command.channels.map((name) => [name, house.log(name).position()]),
        );
        reply(id, { type: 'positions', positions, cursor: JSON.stringify(positions) });
        break;
      }
      case 'auth':
        reply(id, { type: 'auth' });
        break;
      case 'ping':
        send({ type: 'pong' });
        break;
      case 'hello':
        send({ type: 'hello', session: session.id, sessionToken: session.id, user });
    }
  }

  function subscribe({
    channel,
    id,
    presence: watch = false,
    ...wish
  }: Extract<Numbered, { type: 'subscribe' }>): void {
    if (subscriptions.has(channel)) {
      const { at } = house.log(channel).begin({});
      reply(id, { type: 'subscribed', for: channel, ...at, already: true });
      return;
    }
    subscriptions.set(channel, { presence: watch });
    const log = house.log(channel);
    const { at, resumed, gap, messages } = log.begin(wish);
    reply(id, { type: 'subscribed', for: channel, ...at, resumed, head: log.position() });
    if (gap) send(gap);
    for (const message of messages) send(message);
    if (watch) send(presence(channel));
  }

  function publish({ type: _, id, messageType, excludeSelf, ...rest }: Extract<Numbered, { type: 'publish' }>): void {
    const { channel, expect, ttl: __, ...body } = rest;
    const log = house.log(channel);
    const here = log.position();
    if (expect && (expect.offset !== here.offset || (expect.epoch && expect.epoch !== here.epoch))) {
      reply(id, { type: 'error', for: channel, reason: 'POSITION_MISMATCH', position: here });
      return;
    }
    const made = { ...body, channel, type: messageType, publisher: user || undefined, time: Date.now() };
    const { message, duplicate } = body.ephemeral ? { message: made, duplicate: false } : log.add(made);
    reply(id, { type: 'published', for: channel, ...('offset' in message && placeOf(message)), duplicate });
    if (duplicate) return;
    for (const other of house.sessions()) if (!(excludeSelf && other === session)) other.deliver(message);
  }

  function presence(channel: string): Notice {
    const { members, version } = house.members(channel);
    return { type: 'presence', for: channel, epoch: 'p', version, total: members.length, members };
  }

  return session;
}

function placeOf({ offset, epoch }: Delivery): { offset?: number | undefined; epoch?: string | undefined } {
  return { offset, epoch };
}
