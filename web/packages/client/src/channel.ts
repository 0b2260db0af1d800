import type { RealtimeError } from './error.ts';
import { type IterateOptions, iterate } from './iterate.ts';
import type { Undo } from './listeners.ts';
import { type Handler, type Message, toMessage } from './message.ts';
import type { Member, PresenceSnapshot } from './presence.ts';
import type { Gap, Presence as PresentAs, Subscription, SubscriptionState } from './subscription.ts';
import type { Command, Notice, Position, PublishOptions } from './wire.ts';

/** Where a message went. */
export interface Ack {
  /** The message's id; publishing it again would change nothing. */
  readonly messageId: string | undefined;
  /** Its place; ephemeral messages have none. */
  readonly position: Position | undefined;
  /** Whether the server had it before. */
  readonly duplicate: boolean;
}

/** What of a channel's history to read. */
export interface HistoryOptions {
  /** At most this many messages. Default 100. */
  readonly limit?: number;
  /** Newest first. Default: oldest first. */
  readonly newest?: boolean;
  /** Beyond this position in that order. */
  readonly since?: Position;
  /** `next` of the page before. */
  readonly page?: string;
  readonly signal?: AbortSignal;
}

/** One page of history. */
export interface History<T = unknown> {
  readonly messages: readonly Message<T>[];
  /** Where the channel is now: subscribe from here to miss nothing. */
  readonly position: Position;
  /** The next page, if there is one. */
  readonly next: string | undefined;
}

/** One page of who is present. */
export interface PresencePage<P = unknown> {
  readonly members: readonly Member<P>[];
  readonly total: number;
  readonly next: string | undefined;
}

/** Who is in a channel. */
export interface Presence<P = unknown> {
  /** Makes this client present until the undo is called. If it is so several times, what was entered last is shown. */
  enter(data?: P): Undo;
  /** Replaces what was entered last. */
  update(data: P): void;
  /** Undoes every `enter`. */
  leave(): void;
  /** Who is there, as far as it is watched. */
  getSnapshot(): PresenceSnapshot<P>;
  /** Watches, and calls back after each change. */
  onChange(listener: () => void): Undo;
  /** Reads a page of the list, without watching. */
  list(options?: {
    readonly limit?: number;
    readonly page?: string;
    readonly signal?: AbortSignal;
  }): Promise<PresencePage<P>>;
}

/** One channel, or the channels of a pattern. Handles are cached: the same name is the same object. */
export interface Channel<T = unknown> {
  readonly name: string;
  readonly presence: Presence;
  getState(): SubscriptionState;
  /** The last message seen, or where live messages began. */
  getPosition(): Position | undefined;
  /** Receives messages until the undo is called. The first handler subscribes, the last one that goes unsubscribes. */
  subscribe(handler: Handler<T>): Undo;
  /** Is told what was missed and cannot be had. */
  onGap(listener: (gap: Gap) => void): Undo;
  /** Is told why the server refuses or ends the subscription. */
  onError(listener: (error: RealtimeError) => void): Undo;
  /** Publishes once, in order, now or when there is a connection again. */
  publish(data: T, options?: PublishOptions): Promise<Ack>;
  history(options?: HistoryOptions): Promise<History<T>>;
  /** A loop over messages. */
  messages(options?: IterateOptions): AsyncGenerator<Message<T>, void, undefined>;
}

/** The answer of a type. */
export type Answer<T extends Notice['type']> = Extract<Notice, { readonly type: T }>;

/** What a channel needs of its client. */
export interface ChannelHost {
  readonly prefix: string;
  dirty(): void;
  /** Sends a command whose answer is a notice of a type. */
  ask<T extends Notice['type']>(command: Command, signal?: AbortSignal): Promise<Answer<T>>;
  publish(name: string, data: unknown, options?: PublishOptions): Promise<Ack>;
}

/** Makes the handle of a subscription. */
export function createChannel(subscription: Subscription, host: ChannelHost): Channel {
  const { name, messages } = subscription;
  const subscribe = (handler: Handler): Undo => {
    const undo = messages.add(handler);
    host.dirty();
    return undo;
  };
  return {
    name,
    presence: createPresence(subscription, host),
    getState: subscription.state,
    getPosition: subscription.position,
    subscribe,
    onGap: subscription.gaps.add,
    onError: subscription.errors.add,
    publish: (data, options) => host.publish(name, data, options),
    async history({ signal, ...options } = {}) {
      const page = await host.ask<'history'>({ type: 'history', channel: name, ...options }, signal);
      return {
        messages: page.messages.map((delivery) => toMessage(delivery, host.prefix)),
        position: { offset: page.offset, epoch: page.epoch ?? '' },
        next: page.next,
      };
    },
    messages: (options) => iterate((push) => subscribe((_, message) => push(message)), options),
  };
}

function createPresence(subscription: Subscription, host: ChannelHost): Presence {
  const entries = new Set<{ as: PresentAs }>();
  const show = (): void => subscription.present([...entries].at(-1)?.as);
  return {
    enter(data) {
      const entry = { as: { data } };
      entries.add(entry);
      show();
      return () => {
        if (entries.delete(entry)) show();
      };
    },
    update(data) {
      const last = [...entries].at(-1);
      if (last) last.as = { data };
      show();
    },
    leave() {
      entries.clear();
      show();
    },
    getSnapshot: subscription.roster.snapshot,
    onChange(listener) {
      const undo = subscription.watchers.add(listener);
      host.dirty();
      return undo;
    },
    async list({ signal, ...options } = {}) {
      const page = await host.ask<'presence'>({ type: 'presence', channel: subscription.name, ...options }, signal);
      return { members: page.members ?? [], total: page.total, next: page.next };
    },
  };
}
