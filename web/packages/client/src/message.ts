import { type Delivery, type Position, positionOf } from './wire.ts';

/** What was published. */
export interface Message<T = unknown> {
  readonly channel: string;
  readonly data: T;
  /** Application-defined kind of message. */
  readonly type: string | undefined;
  /** Id that the publisher gave it. */
  readonly messageId: string | undefined;
  /** Place in the channel; ephemeral messages have none. */
  readonly position: Position | undefined;
  /** User who published it, if known. */
  readonly publisher: string | undefined;
  /** Whether this client published it. */
  readonly self: boolean;
  /** When the server accepted it, in milliseconds since 1970. */
  readonly time: number | undefined;
  readonly key: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Everything as it came, with the fields of entity events. */
  readonly raw: Delivery;
}

/** Receives messages. The data comes first because it is what most want. */
export type Handler<T = unknown> = (data: T, message: Message<T>) => void;

/** Makes a message of a delivery. Ids with `prefix` are this client's. */
export function toMessage(raw: Delivery, prefix: string): Message {
  const { channel, type, messageId, publisher, time, key, headers = {} } = raw;
  return {
    channel,
    data: raw.encoding === 'base64' ? bytesOf(String(raw.data)) : raw.data,
    type,
    messageId,
    position: positionOf(raw),
    publisher,
    self: messageId?.startsWith(prefix) ?? false,
    time,
    key,
    headers,
    raw,
  };
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
