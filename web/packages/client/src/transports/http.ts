import { lost, RealtimeError } from '../error.ts';
import type { ErrorBody } from '../wire.ts';

/** Options of the transports over `fetch`. */
export interface HTTPOptions {
  /** Whether cookies go along. Default: to the page's own origin. */
  readonly credentials?: RequestCredentials;
  /** Where commands are posted: a path of the server's plain wire. Default: `/ws` of the stream's host. */
  readonly api?: string;
}

/** Makes the error of a response that is not what was asked for. What does not come from our server is a lost connection. */
export async function errorOf(response: Response): Promise<RealtimeError> {
  const body: { readonly error?: ErrorBody } | undefined = await response.json().catch(() => undefined);
  if (body?.error?.reason) return new RealtimeError(body.error);
  const message = `answered with status ${response.status}`;
  return response.status === 401 ? new RealtimeError({ reason: 'UNAUTHENTICATED', message }) : lost(message);
}

/** What went wrong with a request. */
export function asError(cause: unknown): RealtimeError {
  return cause instanceof RealtimeError ? cause : lost(String(cause), cause);
}

/**
 * How often a silent stream has to say that it is there, in milliseconds: often enough to be heard in the time that a heartbeat waits,
 * for nothing can be asked of it.
 */
export const keepAlive = 5000;

/** The header that carries a token. */
export function authorization(token: string | undefined): Record<string, string> {
  return token ? { authorization: `Bearer ${token}` } : {};
}
