import { RealtimeError } from './error.ts';
import { createListeners, type Listeners } from './listeners.ts';
import type { Handler, Message } from './message.ts';
import { createRoster, type Roster } from './presence.ts';
import {
  type ChannelOptions,
  type ErrorBody,
  type Notice,
  type Numbered,
  type Position,
  positionOf,
  type SubscribeCommand,
} from './wire.ts';

/** What of a channel was missed and cannot be had. Load anew what the channel feeds. */
export interface Gap {
  readonly channel: string;
  /** TRUNCATED, DIVERGED, EPOCH_CHANGED, NO_HISTORY or TOO_FAR. */
  readonly reason: string;
  readonly requested: Position | undefined;
  /** Where the channel goes on. */
  readonly position: Position | undefined;
}

/** Whether the server sends a channel's messages. */
export type SubscriptionState = 'idle' | 'subscribing' | 'subscribed' | 'failed';

/** What a client is present with. */
export interface Presence {
  readonly data: unknown;
}

/** A subscribe command, and the number by which its answer is known. */
type Asked = SubscribeCommand & { readonly id: number };

/** A channel or pattern as the client wants it, whatever becomes of links. */
export interface Subscription {
  readonly name: string;
  readonly messages: Listeners<Parameters<Handler>>;
  readonly gaps: Listeners<[Gap]>;
  readonly errors: Listeners<[RealtimeError]>;
  readonly watchers: Listeners<[]>;
  readonly roster: Roster;
  state(): SubscriptionState;
  position(): Position | undefined;
  /** Whether anybody listens or watches. */
  wanted(): boolean;
  /** Makes the client present, or no longer present for `undefined`. The same object again changes nothing. */
  present(as: Presence | undefined): void;
  /** Asks the server for what has changed since it was asked. */
  sync(): void;
  /** Number of the newest subscribe command, or `null`, which nothing that is unasked has. */
  asked(): number | null;
  /** What to ask on a new link. */
  resume(): Asked | undefined;
  /** There is a new link, which was asked that. */
  opened(): void;
  /** Says again, later, what has no answer: some of it was refused for now. */
  repeat(delay: number): void;
  /** Says goodbye, until the next link. */
  leave(): void;
  /** The link is gone. */
  lost(): void;
  /** Takes a message that comes after what it has had. */
  deliver(message: Message): boolean;
  notice(notice: Notice): void;
}

/** Makes the subscription of a name. `number` numbers commands, `send` answers whether there is a link, `dirty` asks for a `sync` soon. */
export function createSubscription(
  name: string,
  options: ChannelOptions,
  number: () => number,
  send: (command: Numbered) => boolean,
  dirty: () => void,
  report: (error: RealtimeError) => void,
): Subscription {
  const messages = createListeners<Parameters<Handler>>(dirty);
  const watchers = createListeners<[]>(dirty);
  const gaps = createListeners<[Gap]>();
  const errors = createListeners<[RealtimeError]>();
  const roster = createRoster();
  const isPattern = /[*>]/.test(name);
  const isPlain = !Object.values(options).some(Boolean);
  const seen = new Map<string, Position>(); // last message of each channel that matches
  let state: SubscriptionState = 'idle';
  let position: Position | undefined;
  let asked: Asked | undefined; // of the link in use, last
  let coming: Asked | undefined; // what the link that is being opened asks for
  let stale: Asked | undefined; // what of that was undone since
  let left = false; // on this link: what comes before an answer is of what was there before
  let presence: Presence | undefined | null; // as it should be; null where it was before
  let entered: typeof presence; // as the server of this link was told

  function wanted(): boolean {
    return messages.size + watchers.size > 0;
  }

  function command(): Asked {
    return {
      ...options,
      id: number(),
      type: 'subscribe',
      channel: name,
      ...(position && { since: position, recent: 0 }),
      ...(position && isPattern && { seen: Object.fromEntries(seen) }),
      ...(watchers.size > 0 && { presence: true }),
    };
  }

  /** Whether it is watched otherwise than the server was asked. */
  function rewatched(): boolean {
    return (asked?.presence ?? false) !== watchers.size > 0;
  }

  function fail(body: ErrorBody): void {
    const error = new RealtimeError({ ...body, for: name });
    if (error.retryAfter !== undefined) {
      state = 'idle';
      repeat(error.retryAfter);
      return;
    }
    state = 'failed';
    if (error.reason === 'GAP') position = undefined;
    errors.emit(error);
    report(error);
  }

  /** The server never changes a subscription: to watch as well, it ends and resumes. */
  function syncMessages(): void {
    const on = state === 'subscribing' || state === 'subscribed';
    if (!wanted()) {
      if (on) unsubscribe();
      state = 'idle';
      stale = coming;
      position = undefined;
      seen.clear();
    } else if (!on) subscribe();
    else if (state === 'subscribed' && rewatched()) anew();
  }

  function unsubscribe(): void {
    left = send({ type: 'unsubscribe', channel: name });
  }

  function anew(): void {
    unsubscribe();
    subscribe();
  }

  function subscribe(): void {
    asked = command();
    state = 'subscribing'; // before it is sent: an answer may come at once
    if (!send(asked)) state = 'idle';
  }

  function syncPresence(): void {
    if (presence === entered) return;
    const done = send(
      presence ? { type: 'enter', channel: name, data: presence.data } : { type: 'leave', channel: name },
    );
    if (done) entered = presence;
  }

  function sync(): void {
    syncMessages();
    syncPresence();
  }

  function repeat(delay: number): void {
    setTimeout(() => {
      entered = undefined;
      if (left && !wanted()) unsubscribe();
      sync();
    }, delay);
  }

  /** Whether what comes is what was asked for, and not of a subscription, live and without options, that the link's address has made. */
  function isOwn(): boolean {
    return state === 'subscribed' || (isPlain && !left && !(coming ?? asked)?.since);
  }

  function confirmed(notice: Extract<Notice, { type: 'subscribed' }>): void {
    if (state !== 'subscribing') return;
    if (notice.already && !isOwn()) {
      anew(); // the address of the link names it: that began elsewhere
      return;
    }
    state = 'subscribed';
    if (!notice.resumed) position = positionOf(notice) ?? position;
    if (rewatched()) dirty();
  }

  /** A place of the pattern itself stands for all that it has seen, but for what is further. */
  function move(of: string, to: Position | undefined): void {
    if (of === name) {
      position = to ?? position;
      seen.clear();
    } else if (to) seen.set(of, to);
  }

  /** Moves to a place, unless that is none further: a replay may tell of it once more. */
  function advance(of: string, to: Position | undefined): boolean {
    const last = of === name ? position : seen.get(of);
    if (to && last?.epoch === to.epoch && to.offset <= last.offset) return false;
    move(of, to);
    return true;
  }

  return {
    name,
    messages,
    gaps,
    errors,
    watchers,
    roster,
    state: () => state,
    position: () => position,
    wanted,
    present(as) {
      presence = as ?? null;
      dirty();
    },
    sync,
    asked: () => asked?.id ?? null,
    resume() {
      coming = wanted() ? command() : undefined;
      return coming;
    },
    opened() {
      const isStale = coming && (coming === stale || (position && !coming.since)); // it has begun otherwise on the link of before
      state = coming && !isStale ? 'subscribing' : 'idle';
      asked = coming;
      coming = undefined;
      left = false;
      if (isStale) unsubscribe();
      entered = undefined;
      sync();
    },
    repeat,
    leave() {
      if (entered) send({ type: 'leave', channel: name });
      presence ||= undefined; // the next link has another session
    },
    lost() {
      if (state !== 'failed') state = 'idle';
    },
    deliver(message) {
      const { channel, position: at } = message;
      // What was asked for has it in its turn, if it is to have it.
      if (at && !(isOwn() && advance(channel, at))) return false;
      messages.emit(message.data, message);
      return true;
    },
    notice(notice) {
      if (notice.type === 'subscribed') confirmed(notice);
      else if (notice.type === 'error') fail(notice);
      else if (notice.type === 'unsubscribed' && notice.error) fail(notice.error);
      else if (notice.type === 'presence') {
        if (roster.apply(notice)) watchers.emit();
      } else if (notice.type === 'checkpoint' && isOwn()) {
        advance(notice.for, positionOf(notice));
        for (const [channel, further] of Object.entries(notice.seen ?? {})) advance(channel, further);
      } else if (notice.type === 'gap') {
        const { for: channel, reason, requested, position: at } = notice;
        if (isOwn()) move(channel, at);
        else if (!asked?.since) return; // else it is of a beginning from which another has been asked for since
        gaps.emit({ channel, reason, requested, position: at });
      }
    },
  };
}
