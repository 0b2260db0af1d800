import type { Link, LinkContext, Transport } from '../transport.ts';
import {
  type Delivery,
  type ErrorBody,
  type Frame,
  isDelivery,
  type Notice,
  type Numbered,
  type Position,
  positionOf,
} from '../wire.ts';
import type { ToHub, ToTab } from './messages.ts';
import { type Asking, createTopic, type Topic, type Wish } from './topic.ts';

/** The place of one tab at a hub. */
export interface Seat {
  receive(message: ToHub): void;
  /** The tab has gone without a word. */
  gone(): void;
}

/** Where tabs meet. */
export interface Hub {
  /** Gives a place to a tab, which hears what is posted. */
  seat(post: (message: ToTab) => void): Seat;
  /** Ends the link, because somebody else has one. */
  close(): void;
}

interface Tab {
  readonly post: (message: ToTab) => void;
  /** With what it waits for the link to open. */
  waiting: LinkContext | undefined;
}

/** Who asked what is under way. */
interface Asked {
  readonly tab: Tab;
  readonly id: number | undefined;
  /** It asks for a subscription. */
  readonly asking?: Asking<Tab>;
  /** It asks for the newest messages of one that goes on. */
  readonly wish?: Wish;
}

/** One try to have a link, and the link once it is there. Its events count while it is `current` or `coming`. */
interface Attempt {
  link?: Link;
}

/** About how long to wait before looking again for a server that does not drain, in milliseconds. */
const elsewhere = 1000;

const lostLink: ErrorBody = { reason: 'CONNECTION_LOST', message: 'the link is lost' };

/** How long to wait before asking again for what was refused for now, in milliseconds. */
const again = 1000;

/** How many messages that a tab does not want back are remembered. */
const mostExcluded = 1000;

/**
 * Makes one link of a transport and lets tabs share it. To each tab it is a server: it numbers commands anew, subscribes to what any
 * tab wants, and gives each tab what it wants. The link ends with the last tab; when it is lost, each tab is told, comes
 * back as its own policy says, and resumes from its own positions.
 */
export function createHub(transport: Transport): Hub {
  const tabs = new Set<Tab>();
  const topics = new Map<string, Topic<Tab>>();
  const asked = new Map<number, Asked>();
  const present = new Map<string, Map<Tab, unknown>>();
  const entered = new Set<string>(); // where the session may be present from a link before: tabs enter again, but for those that have gone
  const excluded = new Map<string, Tab>(); // message ids, and who does not want them
  let current: Attempt | undefined; // has the link that is in use
  let coming: Attempt | undefined; // opens one, which takes its place
  let taken: Attempt | undefined; // another one has asked for its session, for which alone the server may end it
  let isOpen = false;
  let hello: Extract<Notice, { type: 'hello' }> | undefined;
  let last = 0;

  function open(context: LinkContext): void {
    const attempt: Attempt = {};
    const counts = (): boolean => attempt === current || attempt === coming;
    const next = (delay: number | undefined): void => {
      setTimeout(() => {
        if (!current || coming) return;
        taken = current;
        open({ ...context, session: hello?.sessionToken });
      }, delay);
    };
    coming = attempt;
    attempt.link = transport.open(
      { ...context, subscriptions: [] },
      {
        opened() {
          if (attempt === coming) opened(attempt);
        },
        frame(frame) {
          if (!counts()) return;
          if (!isDelivery(frame) && frame.type === 'draining') next(frame.retryAfter);
          else take(frame);
        },
        alive() {
          if (counts()) toAll({ alive: true });
        },
        closed(error) {
          if (!counts()) return;
          if (!current || !coming) end(attempt === taken && !error.retryable ? lostLink : error.body);
          else if (attempt === current) current = undefined;
          else {
            coming = undefined;
            next(elsewhere * (0.5 + Math.random()));
          }
        },
      },
    );
  }

  /** Tabs of a link before are told that it drains: each opens another at once, which is this one. */
  function opened(attempt: Attempt): void {
    current?.link?.close(false);
    current = attempt;
    coming = undefined;
    if (isOpen) {
      forgetAll();
      toAll({ frame: { type: 'draining', retryAfter: 0 } });
    }
    isOpen = true;
    for (const tab of tabs) welcome(tab);
    setTimeout(() => {
      if (attempt !== current) return;
      for (const channel of entered) if (!present.get(channel)?.size) send({ type: 'leave', channel });
      entered.clear();
    }, again);
  }

  function forgetAll(): void {
    for (const channel of present.keys()) entered.add(channel);
    for (const map of [topics, asked, present, excluded]) map.clear();
  }

  function end(error: ErrorBody): void {
    drop(false);
    toAll({ closed: error });
    tabs.clear();
  }

  function drop(leave: boolean): void {
    const links = [current?.link, coming?.link];
    current = coming = hello = undefined;
    isOpen = false;
    for (const link of links) link?.close(leave);
    forgetAll();
    if (leave) entered.clear();
  }

  function toAll(message: ToTab): void {
    for (const tab of tabs) if (isOpen || !('frame' in message)) tab.post(message);
  }

  function welcome(tab: Tab): void {
    if (!tab.waiting) return;
    const { subscriptions } = tab.waiting;
    tab.waiting = undefined;
    if (hello) tab.post({ frame: hello });
    tab.post({ opened: true });
    for (const wish of subscriptions) subscribe(tab, wish);
  }

  function send(command: Numbered, by?: Asked): void {
    if (by) asked.set(++last, by);
    current?.link?.send({ ...command, id: by && last });
  }

  function subscribe(tab: Tab, wish: Wish): void {
    const name = wish.channel;
    const topic = topics.get(name) ?? createTopic<Tab>(name);
    topics.set(name, topic);
    const isNew = topic.tabs.size === 0 && !topic.asking;
    topic.tabs.set(tab, wish);
    topic.confirmed.delete(tab);
    if (topic.asking) topic.queue.push({ tab, wish });
    else if (isNew) begin(topic, tab, wish);
    else join(topic, tab, wish);
  }

  /** Subscribes, or subscribes anew: the server never changes a subscription. Tabs that have it already go on where they are. */
  function begin(topic: Topic<Tab>, tab: Tab, wish: Wish): void {
    const head = topic.head();
    const replays = Boolean(wish.recent && head && topic.tabs.size > 1);
    const asking = { tab, wish, replays };
    topic.asking = asking;
    const wishes = [...topic.tabs.values()];
    const watched = wishes.some((each) => each.presence);
    topic.filter = wishes.every((each) => isSame(each.filter, wish.filter)) ? wish.filter : undefined;
    send({ type: 'unsubscribe', channel: wish.channel });
    send(
      {
        ...wish,
        filter: topic.filter,
        ...(watched && { presence: true }),
        ...(replays && { since: head, recent: 0 }),
      },
      { tab, id: wish.id, asking },
    );
  }

  /** Joins a subscription that is there. */
  function join(topic: Topic<Tab>, tab: Tab, wish: Wish): void {
    const head = topic.head();
    const since = wish.since ?? (wish.recent ? undefined : head);
    const isHidden = topic.filter && !isSame(topic.filter, wish.filter);
    if (wish.presence || isHidden || (since && !topic.since(since) && since !== head)) {
      begin(topic, tab, { ...wish, ...(!wish.recent && { since }) });
    } else if (wish.recent) read(tab, wish);
    else {
      confirm(tab, wish, { ...since, resumed: wish.since !== undefined });
      const seen = topic.seen();
      if (!wish.since && head && /[*>]/.test(wish.channel))
        tab.post({ frame: { type: 'checkpoint', for: wish.channel, ...head, seen } });
      if (wish.since) for (const frame of topic.since(wish.since) ?? []) give(tab, wish, frame);
    }
  }

  /** Reads the newest messages. */
  function read(tab: Tab, wish: Wish): void {
    const { channel, recent: limit = 0 } = wish;
    send({ type: 'history', channel, limit, newest: true }, { tab, id: wish.id, wish });
  }

  function confirm(tab: Tab, { channel, id }: Wish, rest: object): void {
    topics.get(channel)?.confirmed.add(tab);
    tab.post({ frame: { ...rest, type: 'subscribed', for: channel, id } });
  }

  function unsubscribe(tab: Tab, name: string): void {
    const topic = topics.get(name);
    topic?.confirmed.delete(tab);
    if (!topic?.tabs.delete(tab) || topic.tabs.size > 0) return;
    topics.delete(name);
    send({ type: 'unsubscribe', channel: name });
  }

  function take(frame: Frame): void {
    if (isDelivery(frame)) {
      const topic = topics.get(nameOf(frame));
      topic?.keep(frame);
      for (const [tab, wish] of topic?.tabs ?? []) if (topic?.confirmed.has(tab)) give(tab, wish, frame);
      return;
    }
    const by = frame.id === undefined ? undefined : asked.get(frame.id);
    if (by && frame.id !== undefined) {
      asked.delete(frame.id);
      answer(by, { ...frame, id: by.id });
    } else notice(frame);
  }

  /** Gives a tab a message; or, if it does not want it, the place to move on to. */
  function give(tab: Tab, { filter }: Wish, frame: Frame): void {
    if (!isDelivery(frame) || (tab !== excluded.get(frame.messageId ?? '') && passes(filter, frame))) {
      tab.post({ frame });
      return;
    }
    const { channel, pattern } = frame;
    const at = positionOf(frame);
    if (at) tab.post({ frame: { type: 'checkpoint', for: channel, ...at, pattern } });
  }

  function answer({ tab, id, asking, wish }: Asked, frame: Notice): void {
    const name = asking?.wish.channel ?? wish?.channel;
    const topic = name === undefined ? undefined : topics.get(name);
    if (asking) {
      if (topic?.asking === asking) began(topic, asking, frame);
    } else if (wish) {
      if (!topic || !isWanted(topic, tab, wish)) return;
      if (frame.type === 'history') replay(topic, tab, wish, frame);
      else refuse(tab, wish, frame);
    } else if (frame.type === 'auth') toAll({ frame });
    else if (tabs.has(tab)) tab.post({ frame: { ...frame, id } });
  }

  /** Whether a tab has not asked for something else meanwhile. */
  function isWanted(topic: Topic<Tab>, tab: Tab, { id }: Wish): boolean {
    return topic.tabs.get(tab)?.id === id && tabs.has(tab);
  }

  /** A subscription began, or was refused. One that was there before it has not been ended: that was refused for now. */
  function began(topic: Topic<Tab>, asking: Asking<Tab>, frame: Notice): void {
    const { tab, wish, replays } = asking;
    if (frame.type === 'subscribed' && frame.already) {
      setTimeout(() => {
        if (topics.get(wish.channel) === topic && topic.asking === asking) begin(topic, tab, wish);
      }, again);
      return;
    }
    topic.asking = undefined;
    topic.beganBy = tab;
    const own = isWanted(topic, tab, wish) ? topic.tabs.get(tab) : undefined;
    if (frame.type === 'subscribed') {
      if (own && replays) read(tab, own);
      else if (own) confirm(tab, own, { ...frame, resumed: frame.resumed && own.since !== undefined });
      topic.begin(frame);
    } else if (frame.type === 'error') {
      topics.delete(wish.channel);
      for (const [each, { channel, id }] of topic.tabs)
        if (topic.confirmed.has(each)) each.post({ frame: { type: 'unsubscribed', for: channel, error: frame } });
        else if (!topic.queue.some((queued) => queued.tab === each)) each.post({ frame: { ...frame, id } });
    }
    for (const { tab: next, wish: theirs } of topic.queue.splice(0))
      if (isWanted(topic, next, theirs)) subscribe(next, theirs);
  }

  /** The newest messages may not be read: that concerns nobody else. */
  function refuse(tab: Tab, { channel }: Wish, frame: Notice): void {
    unsubscribe(tab, channel);
    if (tabs.has(tab)) tab.post({ frame });
  }

  /** The newest messages, oldest first, and what came since they were read. */
  function replay(topic: Topic<Tab>, tab: Tab, wish: Wish, page: Extract<Notice, { type: 'history' }>): void {
    // Between them some may have expired: each says that it comes next.
    const messages = page.messages.toReversed().map((message) => ({ ...message, previousOffset: 0 }));
    const end = { offset: page.offset, epoch: page.epoch ?? '' };
    confirm(tab, wish, { epoch: end.epoch, offset: (messages[0]?.offset ?? end.offset + 1) - 1 });
    const checkpoint = { type: 'checkpoint', for: wish.channel, ...end } as const;
    for (const frame of [...messages, checkpoint, ...(topic.since(end) ?? [])]) give(tab, wish, frame);
  }

  function notice(frame: Notice): void {
    if (frame.type === 'hello') hello = frame;
    const topic = topics.get(nameOf(frame));
    if (!topic) {
      toAll({ frame });
      return;
    }
    const isFurther = frame.type === 'gap' && isBeyond(topic.head(), frame.position);
    if (frame.type === 'checkpoint' || frame.type === 'gap') topic.keep(frame);
    for (const [tab, wish] of topic.tabs)
      if (frame.type === 'presence' ? wish.presence : topic.confirmed.has(tab) && (!isFurther || tab === topic.beganBy))
        tab.post({ frame });
    if (frame.type === 'unsubscribed' && frame.error && 'for' in frame) topics.delete(frame.for);
  }

  function command(tab: Tab, c: Numbered): void {
    if (c.type === 'subscribe') subscribe(tab, c);
    else if (c.type === 'unsubscribe') unsubscribe(tab, c.channel);
    else if (c.type === 'enter' || c.type === 'update') {
      const who = present.get(c.channel) ?? new Map<Tab, unknown>();
      present.set(c.channel, who);
      send({ ...c, type: 'enter' }, { tab, id: c.id });
      who.set(tab, c.data);
    } else if (c.type === 'leave') leave(tab, c.channel);
    else if (c.type === 'publish') publish(tab, c);
    else send(c, { tab, id: c.id });
  }

  /** To the server all tabs are one session; who does not want its own message back is spared it here. */
  function publish(tab: Tab, { excludeSelf, ...c }: Extract<Numbered, { type: 'publish' }>): void {
    const messageId = c.messageId ?? (excludeSelf ? `${Math.random().toString(36).slice(2)}-${++last}` : undefined);
    if (excludeSelf && messageId) {
      excluded.set(messageId, tab);
      for (const oldest of excluded.keys()) {
        if (excluded.size <= mostExcluded) break;
        excluded.delete(oldest);
      }
    }
    send({ ...c, ...(messageId && { messageId }) }, { tab, id: c.id });
  }

  /** A link before may have entered what this one knows nothing of. */
  function leave(tab: Tab, channel: string): void {
    const who = present.get(channel);
    const was = who?.delete(tab);
    if (!who?.size) send({ type: 'leave', channel });
    else if (was) send({ type: 'enter', channel, data: [...who.values()].at(-1) });
  }

  function remove(tab: Tab, goodbye: boolean): void {
    if (!tabs.delete(tab)) return;
    if (tabs.size === 0) drop(goodbye);
    else forget(tab);
  }

  function forget(tab: Tab): void {
    for (const name of [...topics.keys()]) unsubscribe(tab, name);
    for (const [name, who] of present) if (who.has(tab)) leave(tab, name);
  }

  return {
    seat(post) {
      const tab: Tab = { post, waiting: undefined };
      return {
        receive(message) {
          if ('open' in message) {
            forget(tab);
            tabs.add(tab);
            tab.waiting = message.open;
            post({ heard: true });
            if (isOpen) welcome(tab);
            else if (!coming) open(message.open);
          } else if (!tabs.has(tab)) return;
          else if ('send' in message) command(tab, message.send);
          else remove(tab, message.close);
        },
        gone: () => remove(tab, false),
      };
    },
    close: () => end({ reason: 'CONNECTION_LOST', message: 'another tab has taken over', retryAfter: 0 }),
  };
}

/** The subscription that a frame is of. */
function nameOf(frame: Frame): string {
  if (isDelivery(frame)) return frame.pattern ?? frame.channel;
  return ('pattern' in frame && frame.pattern) || ('for' in frame && frame.for) || '';
}

/** Whether a message is one of those that a tab wants. Tabs that want different ones share a subscription to all. */
function passes(filter: Wish['filter'], { type = '', headers }: Delivery): boolean {
  const { types = [], headers: wanted = {} } = filter ?? {};
  const isOfType = types.length === 0 || types.includes(type);
  return isOfType && Object.entries(wanted).every(([name, value]) => headers?.[name] === value);
}

function isSame(a: Wish['filter'], b: Wish['filter']): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Whether a place is at another one or after it. */
function isBeyond(place: Position | undefined, other: Position | undefined): boolean {
  return place !== undefined && other !== undefined && place.epoch === other.epoch && place.offset >= other.offset;
}
