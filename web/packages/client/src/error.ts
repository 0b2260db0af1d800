import type { ErrorBody, Position } from './wire.ts';

/** Why the server refuses or ends something (docs/PROTOCOL.md, "Reasons"), in the order of their close codes from 4001. */
const reasons = [
  'INVALID_REQUEST',
  'INVALID_CHANNEL',
  'INVALID_JSON',
  'TOO_LARGE',
  'TOO_MANY',
  'UNAUTHENTICATED',
  'FORBIDDEN',
  'RATE_LIMITED',
  'SLOW_CONSUMER',
  'DRAINING',
  'SESSION_NOT_FOUND',
  'NOT_ENABLED',
  'POSITION_MISMATCH',
  'ID_REUSED',
  'INVALID_CURSOR',
  'GAP',
  'DISCONNECTED',
  'SEQUENCE_MISMATCH',
  'EXPIRED',
  'INTERNAL',
  'UNAVAILABLE',
] as const;

/** A reason of the server. */
export type ServerReason = (typeof reasons)[number];

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
  | 'TOO_SLOW';

/** The one table of what is not tried again: with the same request, or without asking somebody, it would fail again. */
const final: ReadonlySet<string> = new Set<ServerReason>([
  'INVALID_REQUEST',
  'INVALID_CHANNEL',
  'INVALID_JSON',
  'TOO_LARGE',
  'TOO_MANY',
  'FORBIDDEN',
  'NOT_ENABLED',
  'POSITION_MISMATCH',
  'ID_REUSED',
  'DISCONNECTED',
  'SEQUENCE_MISMATCH',
]);

/** What is tried again at once, because nothing is wrong with the server. */
const immediate: ReadonlySet<string> = new Set<ServerReason>(['SLOW_CONSUMER', 'SESSION_NOT_FOUND', 'EXPIRED']);

/** Every error of this package. Switch on `reason`. */
export class RealtimeError extends Error {
  override readonly name = 'RealtimeError';
  readonly reason: ServerReason | ClientReason | (string & {});
  /** The channel that it is about. */
  readonly channel: string | undefined;
  /** Whether trying again can help. */
  readonly retryable: boolean;
  /** When to try again, in milliseconds, if the server or the reason says so. */
  readonly retryAfter: number | undefined;
  /** The field that was refused. */
  readonly field: string | undefined;
  /** The limit that was passed. */
  readonly limit: number | undefined;
  /** Where the channel is, for POSITION_MISMATCH. */
  readonly position: Position | undefined;

  /** As it was sent. */
  readonly body: ErrorBody;

  constructor(body: ErrorBody & { readonly reason: ServerReason | ClientReason | (string & {}) }, cause?: unknown) {
    super(body.message || body.reason, { cause });
    this.body = body;
    this.reason = body.reason;
    this.channel = body.for;
    this.retryable = !final.has(body.reason);
    this.retryAfter = body.retryAfter ?? (immediate.has(body.reason) ? 0 : undefined);
    this.field = body.field;
    this.limit = body.limit;
    this.position = body.position;
  }
}

/** The error that the server sent. */
export function fromBody(body: ErrorBody): RealtimeError {
  return new RealtimeError({ ...body, reason: body.reason || 'INTERNAL' });
}

/** The reason of a WebSocket close code, if it is one of the server's. */
export function reasonOfClose(code: number): ServerReason | undefined {
  return reasons[code - 4001];
}

/** The reason that has a number in `millrace.v1.ErrorReason`'s JSON form, without its prefix. */
export function reasonOfProto(name: unknown): string {
  return String(name ?? 'INTERNAL').replace('ERROR_REASON_', '');
}
