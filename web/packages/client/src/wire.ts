/**
 * The vocabulary of the core: the JSON of the server's plain WebSocket wire. Other transports translate to it, so that
 * what a message or an answer looks like is written down once.
 */

/** A place in a channel: the message at `offset`, and everything before it, has been seen. */
export interface Position {
  readonly offset: number;
  readonly epoch: string;
}

/** What of a channel is wanted. Every field is the server's to apply. */
export interface ChannelOptions {
  /** Begin with this many of the newest kept messages; 1 is the latest value. Default: live messages only. */
  readonly recent?: number;
  /** What follows a gap. Default `latest`. */
  readonly onGap?: 'latest' | 'oldest' | 'close' | undefined;
  /** Only messages of these types and with these headers. */
  readonly filter?:
    | { readonly types?: readonly string[]; readonly headers?: Readonly<Record<string, string>> }
    | undefined;
  /** Receive at most once in this time, in milliseconds. */
  readonly minInterval?: number | undefined;
  /** Of what comes together, receive only the latest message of each key. */
  readonly latestPerKey?: boolean;
  /** What to do when this client is too slow for a channel without history. Default `disconnect`, and resume. */
  readonly onSlow?: 'disconnect' | 'dropOldest' | 'latestPerKey' | undefined;
}

/** Asks for a channel or a pattern. */
export interface SubscribeCommand extends ChannelOptions {
  readonly type: 'subscribe';
  readonly channel: string;
  readonly since?: Position | undefined;
  readonly seen?: Readonly<Record<string, Position>> | undefined;
  readonly presence?: boolean;
}

/** How a message is published. */
export interface PublishOptions {
  /** Id of the message, for idempotency. Default: one that this client makes. */
  readonly messageId?: string;
  /** Application-defined kind of message. */
  readonly messageType?: string;
  /** What the message is the latest value of. */
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** To the subscribers of the moment only; lost if the client is not connected. For typing notices and cursors. */
  readonly ephemeral?: boolean;
  /** How long the message is kept in the channel's history, in milliseconds. */
  readonly ttl?: number;
  /** Publish only if the channel is at this position. */
  readonly expect?: Position;
  /** Deliver to everybody but this client. */
  readonly excludeSelf?: boolean;
}

/** Publishes a message. */
export interface PublishCommand extends PublishOptions {
  readonly type: 'publish';
  readonly channel: string;
  readonly data: unknown;
}

/** What a client asks. */
export type Command =
  | SubscribeCommand
  | PublishCommand
  | { readonly type: 'unsubscribe'; readonly channel: string }
  | { readonly type: 'enter' | 'update'; readonly channel: string; readonly data?: unknown }
  | { readonly type: 'leave'; readonly channel: string }
  | {
      readonly type: 'history';
      readonly channel: string;
      readonly limit?: number;
      readonly newest?: boolean;
      readonly since?: Position | undefined;
      readonly page?: string;
    }
  | { readonly type: 'presence'; readonly channel: string; readonly limit?: number; readonly page?: string }
  | { readonly type: 'positions'; readonly channels: readonly string[] }
  | { readonly type: 'auth'; readonly token: string }
  | { readonly type: 'hello' | 'ping' };

/** A command with the number by which its answer is known. One without is not answered, unless it is refused. */
export type Numbered = Command & { readonly id?: number | undefined };

/** A message as it is delivered: with a `pattern` to the subscription to that, else to the one to its channel. */
export interface Delivery {
  readonly channel: string;
  readonly data: unknown;
  readonly type?: string | undefined;
  readonly entity?: string | undefined;
  readonly id?: string | undefined;
  readonly timestamp?: string | undefined;
  readonly queryKeys?: readonly (readonly unknown[])[] | undefined;
  readonly offset?: number | undefined;
  readonly epoch?: string | undefined;
  readonly previousOffset?: number | undefined;
  readonly messageId?: string | undefined;
  readonly publisher?: string | undefined;
  readonly key?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly encoding?: 'text' | 'base64' | undefined;
  readonly contentType?: string | undefined;
  readonly ephemeral?: boolean | undefined;
  readonly time?: number | undefined;
  readonly pattern?: string | undefined;
}

/** Why something was refused. */
export interface ErrorBody {
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly for?: string | undefined;
  readonly field?: string | undefined;
  readonly limit?: number | undefined;
  readonly retryAfter?: number | undefined;
  readonly position?: Position | undefined;
}

/** Someone who is present, as it is sent. */
export interface MemberBody {
  readonly user: string;
  readonly data?: unknown | undefined;
  readonly since: number;
  readonly sessions: number;
}

/** Who is present, what changed, or a page of the list. */
export interface PresenceBody {
  readonly for: string;
  readonly version: number;
  readonly epoch?: string | undefined;
  readonly total: number;
  readonly members?: readonly MemberBody[] | undefined;
  readonly changes?: readonly (MemberBody & { readonly action: 'enter' | 'update' | 'leave' })[] | undefined;
  readonly next?: string | undefined;
}

/** What the server sends that is not a message. */
export type Notice = { readonly id?: number | undefined } & (
  | {
      readonly type: 'subscribed';
      readonly for: string;
      readonly offset?: number | undefined;
      readonly epoch?: string | undefined;
      readonly resumed?: boolean | undefined;
      readonly already?: boolean | undefined;
      /** The newest message at this moment: up to here it is replay. */
      readonly head?: Position | undefined;
    }
  | { readonly type: 'unsubscribed'; readonly for: string; readonly error?: ErrorBody | undefined }
  | {
      readonly type: 'published';
      readonly for: string;
      readonly offset?: number | undefined;
      readonly epoch?: string | undefined;
      readonly duplicate?: boolean | undefined;
    }
  | {
      readonly type: 'history';
      readonly for: string;
      readonly messages: readonly Delivery[];
      readonly offset: number;
      readonly epoch?: string | undefined;
      readonly next?: string | undefined;
    }
  | ({ readonly type: 'presence' } & PresenceBody)
  | { readonly type: 'present'; readonly for: string; readonly version: number; readonly epoch?: string | undefined }
  | { readonly type: 'positions'; readonly positions: Readonly<Record<string, Position>>; readonly cursor: string }
  | {
      readonly type: 'hello';
      readonly session?: string | undefined;
      readonly sessionToken?: string | undefined;
      readonly user?: string | undefined;
      readonly expires?: number | undefined;
    }
  | { readonly type: 'auth'; readonly expires?: number | undefined }
  | { readonly type: 'draining'; readonly retryAfter?: number | undefined }
  | {
      readonly type: 'gap';
      readonly for: string;
      readonly reason: string;
      readonly requested?: Position | undefined;
      readonly position?: Position | undefined;
      readonly pattern?: string | undefined;
    }
  | {
      readonly type: 'checkpoint';
      readonly for: string;
      readonly offset: number;
      readonly epoch: string;
      readonly seen?: Readonly<Record<string, Position>> | undefined;
      readonly pattern?: string | undefined;
    }
  | { readonly type: 'pong' }
  | ({ readonly type: 'error' } & ErrorBody)
);

/** Anything that the server sends. Only messages have a top-level `channel`. */
export type Frame = Delivery | Notice;

/** Tells messages from everything else. */
export function isDelivery(frame: Frame): frame is Delivery {
  return 'channel' in frame;
}

/** Reads a frame; what is not a JSON object with a `channel` or a `type` is none. */
export function parseFrame(text: string): Frame | undefined {
  const value = parseRecord(text);
  return isFrame(value) ? value : undefined;
}

/** Reads a JSON object; what is none is `undefined`. */
export function parseRecord(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Trusts the server with the fields of a frame, once it is known to be one. */
export function isFrame(value: unknown): value is Frame {
  return isRecord(value) && typeof (value.channel ?? value.type) === 'string';
}

/** Tells JSON objects from other values. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The position of what carries one; ephemeral messages do not. */
export function positionOf(frame: {
  readonly offset?: number | undefined;
  readonly epoch?: string | undefined;
}): Position | undefined {
  return frame.epoch && frame.offset !== undefined ? { offset: frame.offset, epoch: frame.epoch } : undefined;
}
