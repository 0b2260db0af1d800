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
  /** Number of the newest subscribe command. */
  asked(): number;
  /** What to ask on a new link. */
  resume(): Asked | undefined;
  /** There is a new link, which was asked that. */
  opened(): void;
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
  const seen = new Map<string, Position>(); // last message of each channel that matches
  let state: SubscriptionState = 'idle';
  let position: Position | undefined;
  let asked = -1;
  let since: Position | undefined; // as the server was asked
  let watched = false; // as the server was asked
  let resuming = false; // the link that is being opened asks for it
  let presence: Presence | undefined; // as it should be
  let entered: Presence | undefined; // as the server was told

  function wanted(): boolean {
    return messages.size + watchers.size > 0;
  }

  function command(): Asked {
    watched = watchers.size > 0;
    since = position;
    asked = number();
    return {
      ...options,
      id: asked,
      type: 'subscribe',
      channel: name,
      ...(since && { since, recent: 0 }),
      ...(since && isPattern && { seen: Object.fromEntries(seen) }),
      ...(watched && { presence: true }),
    };
  }

  function fail(body: ErrorBody): void {
    const error = new RealtimeError({ ...body, for: name });
    if (error.reason === 'RATE_LIMITED') {
      state = 'idle';
      setTimeout(dirty, error.retryAfter);
      return;
    }
    state = 'failed';
    if (error.reason === 'GAP' || error.reason === 'INVALID_CURSOR') position = undefined;
    errors.emit(error);
    report(error);
  }

  /** The server never changes a subscription: to watch as well, it ends and resumes. */
  function syncMessages(): void {
    const on = state === 'subscribing' || state === 'subscribed';
    if (!wanted()) {
      if (on) send({ type: 'unsubscribe', channel: name });
      state = 'idle';
      position = undefined;
      seen.clear();
    } else if (!on) subscribe();
    else if (state === 'subscribed' && watched !== watchers.size > 0) anew();
  }

  function anew(): void {
    if (send({ type: 'unsubscribe', channel: name })) subscribe();
  }

  function subscribe(): void {
    state = 'subscribing'; // before it is sent: an answer may come at once
    if (!send(command())) state = 'idle';
  }

  function syncPresence(): void {
    if (presence === entered) return;
    const done = presence
      ? send({ type: entered ? 'update' : 'enter', channel: name, data: presence.data })
      : send({ type: 'leave', channel: name });
    if (done) entered = presence;
  }

  function sync(): void {
    syncMessages();
    syncPresence();
  }

  /** Whether it begins with what is there already. */
  function replays(): boolean {
    return Boolean(since ?? options.recent);
  }

  function confirmed(notice: Extract<Notice, { type: 'subscribed' }>): void {
    if (state !== 'subscribing') return;
    if (notice.already && replays()) {
      anew(); // the address of the link names it: that began elsewhere
      return;
    }
    state = 'subscribed';
    if (!notice.resumed) position = positionOf(notice) ?? position;
    if (watched !== watchers.size > 0) dirty();
  }

  /** A place of the pattern itself stands for all that it has seen, but for what is further. */
  function move(of: string, to: Position | undefined): void {
    if (of === name) {
      position = to ?? position;
      seen.clear();
    } else if (to) seen.set(of, to);
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
      presence = as;
      dirty();
    },
    sync,
    asked: () => asked,
    resume() {
      resuming = wanted();
      return resuming ? command() : undefined;
    },
    opened() {
      state = resuming ? 'subscribing' : 'idle';
      resuming = false;
      if (entered && !presence) send({ type: 'leave', channel: name }); // it left while there was no link
      entered = undefined;
      sync();
    },
    leave() {
      if (entered) send({ type: 'leave', channel: name });
    },
    lost() {
      if (state !== 'failed') state = 'idle';
      resuming = false;
    },
    deliver(message) {
      const { channel, position: at } = message;
      if (at) {
        // Of what was there before; the one that is being opened has it in its turn, if it is to have it.
        if (state !== 'subscribed' && replays()) return false;
        const last = isPattern ? seen.get(channel) : position;
        if (last?.epoch === at.epoch && at.offset <= last.offset) return false;
        if (isPattern) seen.set(channel, at);
        else position = at;
      }
      messages.emit(message.data, message);
      return true;
    },
    notice(notice) {
      if (notice.type === 'subscribed') confirmed(notice);
      else if (notice.type === 'error') fail(notice);
      else if (notice.type === 'unsubscribed' && notice.error) fail(notice.error);
      else if (notice.type === 'checkpoint') {
        move(notice.for, positionOf(notice));
        for (const [channel, further] of Object.entries(notice.seen ?? {})) move(channel, further);
      } else if (notice.type === 'gap') {
        const { for: channel, reason, requested, position: at } = notice;
        move(channel, at);
        gaps.emit({ channel, reason, requested, position: at });
      } else if (notice.type === 'presence' && roster.apply(notice)) watchers.emit();
    },
  };
}
