/**
 * A server for tests, in the test itself: `const server = createFakeServer()`, then a client with `transports: [server.transport()]`.
 *
 * It promises:
 * - Channels, positions, resuming, gaps, duplicates, history and presence are as the real server has them. There is no network: what is sent arrives
 *   in the same task, and what is answered comes in the next one.
 * - A test decides when links are lost, refused or silent, and what the server forgets.
 *
 * @module
 */
import { RealtimeError, type ServerReason } from '../error.ts';
import type { LinkContext, LinkEvents, Transport } from '../transport.ts';
import type { Delivery, ErrorBody, MemberBody, Numbered, Position } from '../wire.ts';
import { createLog, type Log } from './log.ts';
import { createSession, type House, type Session } from './session.ts';

/** A server, seen from the test. */
export interface FakeServer {
  /** A way to it. The name is what clients show. */
  transport(name?: string): Transport;
  /** Publishes as a backend does. */
  publish(channel: string, data: unknown, more?: Partial<Delivery>): Position;
  /** Data of the kept messages of a channel, oldest first. */
  kept(channel: string): readonly unknown[];
  /** Who is in a channel. */
  members(channel: string): readonly MemberBody[];
  /** Links that are open, and how many there were. */
  readonly links: number;
  readonly opened: number;
  /** Commands of all links that are open, oldest first for each. */
  commands(type?: Numbered['type']): readonly Numbered[];
  /** Channels and patterns that links are subscribed to. */
  subscribed(): readonly string[];
  /** Ends every link, as the network or the server would. */
  drop(reason?: ServerReason | 'CONNECTION_LOST', body?: ErrorBody): void;
  /** Refuses new links until it is called without a reason. */
  refuse(reason?: ServerReason | 'CONNECTION_LOST'): void;
  /** Refuses the commands for which it returns an error. */
  refuseCommands(why: (command: Numbered) => ErrorBody | undefined): void;
  /** Neither hears nor says anything, and nobody is told: a half-open connection. */
  silence(on: boolean): void;
  /** Forgets messages, so that who resumes from further back has a gap. */
  forget(channel: string, keep?: number): void;
  /** Loses its memory and its links, as a crash does: every channel has another epoch. */
  restart(): void;
}

/** Makes a server without messages. Who connects with a token is the user of that name. */
export function createFakeServer(): FakeServer {
  let logs = new Map<string, Log>();
  let epoch = 1;
  let opened = 0;
  let silent = false;
  let refusal: string | undefined;
  let refuses: (command: Numbered) => ErrorBody | undefined = () => undefined;
  const open = new Map<Session, LinkEvents>();
  const present = new Map<string, { version: number; by: Map<Session, MemberBody> }>();

  const house: House = {
    log(channel) {
      const log = logs.get(channel) ?? createLog(channel, `e${epoch}`);
      logs.set(channel, log);
      return log;
    },
    sessions: () => open.keys(),
    members(channel) {
      const { version = 0, by } = present.get(channel) ?? {};
      const users = new Map([...(by?.values() ?? [])].map((member) => [member.user, member]));
      return { version, members: [...users.values()] };
    },
    present(session, channel, data) {
      const room = present.get(channel) ?? { version: 0, by: new Map<Session, MemberBody>() };
      present.set(channel, room);
      const was = room.by.get(session);
      if (!was && !data) return;
      const user = session.user || session.id;
      if (data) room.by.set(session, { user, data: data.data, since: Date.now(), sessions: 1 });
      else room.by.delete(session);
      room.version++;
      const { members, version } = house.members(channel);
      const member = room.by.get(session) ?? was;
      if (!member) return;
      const action = !data ? 'leave' : was ? 'update' : 'enter';
      for (const watcher of open.keys())
        if (watcher.watches(channel))
          watcher.send({
            type: 'presence',
            for: channel,
            epoch: 'p',
            version,
            total: members.length,
            changes: [{ action, ...member }],
          });
    },
    refuses: (command) => refuses(command),
  };

  function end(session: Session): void {
    open.delete(session);
    for (const channel of present.keys()) house.present(session, channel, undefined);
  }

  /** Says things in the next task, in order, unless the link has ended or nothing passes. */
  function later(events: LinkEvents, isOpen: () => boolean): LinkEvents {
    const passing =
      <A extends readonly unknown[]>(run: (...values: A) => void) =>
      (...values: A): void =>
        queueMicrotask(() => {
          if (isOpen() && !silent) run(...values);
        });
    return {
      opened: passing(events.opened),
      frame: passing(events.frame),
      alive: passing(events.alive),
      closed: events.closed,
    };
  }

  function connect({ token = '', subscriptions }: LinkContext, events: LinkEvents): ReturnType<Transport['open']> {
    let live = true;
    const said = later(events, () => live);
    const session = createSession(house, `session-${++opened}`, token, said);
    queueMicrotask(() => {
      if (!live) return;
      if (refusal) {
        live = false;
        events.closed(new RealtimeError({ reason: refusal }));
        return;
      }
      open.set(session, {
        ...said,
        closed(error) {
          live = false;
          events.closed(error);
        },
      });
      session.run({ type: 'hello' });
      said.opened();
      for (const command of subscriptions) session.run(command);
    });
    return {
      buffered: 0,
      send(command) {
        if (live && !silent) session.run(command);
      },
      close() {
        live = false;
        end(session);
      },
    };
  }

  function drop(reason = 'CONNECTION_LOST', body: ErrorBody = {}): void {
    for (const [session, events] of [...open]) {
      end(session);
      events.closed(new RealtimeError({ reason, ...body }));
    }
  }

  return {
    transport: (name = 'fake') => ({ name, open: connect }),
    publish(channel, data, more) {
      const { message } = house.log(channel).add({ ...more, channel, data });
      for (const session of open.keys()) session.deliver(message);
      return house.log(channel).position();
    },
    kept: (channel) =>
      house
        .log(channel)
        .messages()
        .map((message) => message.data),
    members: (channel) => house.members(channel).members,
    get links() {
      return open.size;
    },
    get opened() {
      return opened;
    },
    commands: (type) =>
      [...open.keys()].flatMap((session) => session.commands).filter((c) => type === undefined || c.type === type),
    subscribed: () => [...open.keys()].flatMap((session) => session.channels),
    drop,
    refuse(reason) {
      refusal = reason;
    },
    refuseCommands(why) {
      refuses = why;
    },
    silence(on) {
      silent = on;
    },
    forget: (channel, keep = 0) => house.log(channel).trim(keep),
    restart() {
      epoch++;
      logs = new Map();
      present.clear();
      drop();
    },
  };
}
