import type { RealtimeError } from './error.ts';
import type { Frame, Numbered, SubscribeCommand } from './wire.ts';

/** What a link needs to know to open. */
export interface LinkContext {
  /** Credentials, if there are such. */
  readonly token: string | undefined;
  /** Secret token of the session to take over, so that nobody sees it leave. */
  readonly session: string | undefined;
  /** What the client wants to be subscribed to, in order. The link asks for it; the core does not. */
  readonly subscriptions: readonly (SubscribeCommand & { readonly id: number })[];
}

/** What a link tells. After `closed` it tells nothing. */
export interface LinkEvents {
  /** Commands can be sent. */
  opened(): void;
  /** What answers a command has its number. A `subscribed` without one is of what the server has joined by itself. */
  frame(frame: Frame): void;
  /** Something came that is not a frame: the server is there. */
  alive(): void;
  /** The link ended by itself, or could not be opened. */
  closed(error: RealtimeError): void;
}

/** One connection to the server. */
export interface Link {
  /** Bytes that wait to be sent. */
  readonly buffered: number;
  send(command: Numbered): void;
  /** Ends it; no event follows. With `leave` presence ends at once, else the server waits for this client to come back. */
  close(leave: boolean): void;
}

/** A way to reach the server. */
export interface Transport {
  readonly name: string;
  open(context: LinkContext, events: LinkEvents): Link;
}
