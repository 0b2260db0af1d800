import {
  type Command,
  type Frame,
  type LinkContext,
  type LinkEvents,
  RealtimeError,
  type Transport,
} from '../src/index.ts';

/** A command of a type. */
export type Sent<T extends Command['type']> = (T extends 'subscribe'
  ? Extract<Command, { type: 'subscribe' }>
  : T extends 'publish'
    ? Extract<Command, { type: 'publish' }>
    : Command) & { id?: number | undefined };

/** One link of the fake server, seen from the server. */
export interface FakeLink {
  readonly context: LinkContext;
  readonly sent: (Command & { id?: number | undefined })[];
  /** Opens, and has received what it was to subscribe to. */
  open(): void;
  send(...frames: Frame[]): void;
  drop(reason?: string, retryAfter?: number): void;
  closed: 'left' | 'abandoned' | undefined;
  /** Commands of a type, oldest first. */
  of<T extends Command['type']>(type: T): Sent<T>[];
}

/** A transport whose server is the test. */
export interface FakeTransport extends Transport {
  readonly links: FakeLink[];
  link(): FakeLink;
}

export function fakeTransport(name = 'fake'): FakeTransport {
  const links: FakeLink[] = [];
  return {
    name,
    links,
    link() {
      const last = links.at(-1);
      if (!last) throw new Error('no link was opened');
      return last;
    },
    open(context, events) {
      const link = fakeLink(context, events);
      links.push(link);
      return {
        buffered: 0,
        send: (c) => void link.sent.push(c),
        close(leave) {
          link.closed = leave ? 'left' : 'abandoned';
        },
      };
    },
  };
}

function fakeLink(context: LinkContext, events: LinkEvents): FakeLink {
  const sent: FakeLink['sent'] = [];
  return {
    context,
    sent,
    closed: undefined,
    open() {
      sent.push(...context.subscriptions);
      events.opened();
    },
    send: (...frames) => {
      for (const frame of frames) events.frame(frame);
    },
    drop: (reason = 'CONNECTION_LOST', retryAfter) =>
      events.closed(new RealtimeError({ reason, ...(retryAfter !== undefined && { retryAfter }) })),
    of: <T extends Command['type']>(type: T) => sent.filter((c) => c.type === type) as unknown as Sent<T>[],
  };
}

/** Confirms the newest subscribe command for a channel. */
export function confirm(link: FakeLink, channel: string, offset: number, resumed = false): void {
  const command = link
    .of('subscribe')
    .filter((c) => c.channel === channel)
    .at(-1);
  if (command?.id === undefined) throw new Error(`nobody asked for ${channel}`);
  link.send({ type: 'subscribed', id: command.id, for: channel, offset, epoch: 'e', resumed });
}

/** A message of epoch `e`. */
export function message(channel: string, offset: number, data: unknown = offset): Frame {
  return { channel, data, offset, epoch: 'e' };
}

/** The same, by the subscription to a pattern. */
export function by(pattern: string, channel: string, offset: number, data: unknown = offset): Frame {
  return { channel, data, offset, epoch: 'e', pattern };
}
