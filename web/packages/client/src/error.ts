import type { ErrorBody, Position } from './wire.ts';

/** Why the server refuses or ends something (docs/PROTOCOL.md, "Reasons"). */
export type ServerReason =
  | 'INVALID_REQUEST'
  | 'INVALID_CHANNEL'
  | 'INVALID_JSON'
  | 'TOO_LARGE'
  | 'TOO_MANY'
  | 'UNAUTHENTICATED'
  | 'FORBIDDEN'
  | 'RATE_LIMITED'
  | 'SLOW_CONSUMER'
  | 'DRAINING'
  | 'SESSION_NOT_FOUND'
  | 'NOT_ENABLED'
  | 'POSITION_MISMATCH'
  | 'ID_REUSED'
  | 'INVALID_CURSOR'
  | 'GAP'
  | 'DISCONNECTED'
  | 'SEQUENCE_MISMATCH'
  | 'EXPIRED'
  | 'INTERNAL'
  | 'UNAVAILABLE';

/** A reason of this client. */
export type ClientReason =
  /** The connection ended, or could not be made. */
  | 'CONNECTION_LOST'
  /** Too many commands wait for a connection. */
  | 'QUEUE_FULL'
  /** No answer within the time to live. A message may have been published. */
  | 'TIMED_OUT'
  /** An ephemeral message could not be sent at once. */
  | 'NOT_CONNECTED'
  /** The token function failed. */
  | 'TOKEN_FAILED'
  /** A loop fell too far behind. */
  | 'TOO_SLOW'
  /** Data does not fit the schema of its channel. */
  | 'INVALID_DATA';

/** The one table of what is not tried again: with the same request, or without asking somebody, it would fail again. */
const final: readonly string[] = [
  'INVALID_REQUEST',
  'INVALID_CHANNEL',
  'INVALID_JSON',
  'INVALID_DATA',
  'TOO_LARGE',
  'TOO_MANY',
  'FORBIDDEN',
  'NOT_ENABLED',
  'POSITION_MISMATCH',
  'ID_REUSED',
  'DISCONNECTED',
  'SEQUENCE_MISMATCH',
] satisfies readonly (ServerReason | ClientReason)[];

/** What is tried again at once, because nothing is wrong with the server. */
const immediate: readonly string[] = [
  'SLOW_CONSUMER',
  'SESSION_NOT_FOUND',
  'EXPIRED',
] satisfies readonly ServerReason[];

/** Every error of this package. Switch on `reason`. */
export class RealtimeError extends Error {
  declare readonly reason: ServerReason | ClientReason | (string & {});
  /** The channel that it is about. */
  declare readonly channel: string | undefined;
  /** Whether trying again can help. */
  declare readonly retryable: boolean;
  /** When to try again, in milliseconds, if the server or the reason says so. */
  declare readonly retryAfter: number | undefined;
  /** The field that was refused. */
  declare readonly field: string | undefined;
  /** The limit that was passed. */
  declare readonly limit: number | undefined;
  /** Where the channel is, for POSITION_MISMATCH. */
  declare readonly position: Position | undefined;
  /** As it was sent. */
  declare readonly body: ErrorBody;

  constructor(body: ErrorBody, cause?: unknown) {
    const { message, for: channel, ...fields } = body;
    const reason = body.reason || 'INTERNAL';
    super(message || reason, { cause });
    Object.assign(this, fields, {
      name: 'RealtimeError',
      body,
      reason,
      channel,
      retryable: !final.includes(reason),
      retryAfter: body.retryAfter ?? (immediate.includes(reason) ? 0 : undefined),
    });
  }
}

/** The error of a connection that ended, or could not be made. */
export function lost(message: string, cause?: unknown): RealtimeError {
  return new RealtimeError({ reason: 'CONNECTION_LOST', message }, cause);
}
