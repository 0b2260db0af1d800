import { fromBody, RealtimeError } from '../error.ts';
import { isRecord } from '../wire.ts';
import { errorBody, type ProtoError } from './proto.ts';

/** Options of the transports over `fetch`. */
export interface HTTPOptions {
  /** Whether cookies go along. Default: to the page's own origin. */
  readonly credentials?: RequestCredentials;
}

/** Makes the error of a response that is not what was asked for. */
export async function errorOf(response: Response): Promise<RealtimeError> {
  const text = await response.text().catch(() => '');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  return fromValue(value, response.status);
}

/** Makes the error of what Connect, or a plain route of ours, says. Another server on the way is a lost connection. */
export function fromValue(value: unknown, status = 0): RealtimeError {
  if (isRecord(value)) {
    const plain = isRecord(value.error) ? value.error : value;
    const details: unknown = plain.details;
    const info = (Array.isArray(details) ? details : []).map((d: unknown) => isRecord(d) && d.debug).find(isRecord);
    if (info) return new RealtimeError(errorBody(info as ProtoError));
    if (typeof plain.reason === 'string') return fromBody(plain);
  }
  return new RealtimeError({
    reason: status === 401 ? 'UNAUTHENTICATED' : 'CONNECTION_LOST',
    message: `answered with status ${status}`,
  });
}

/** What went wrong with a request. */
export function asError(cause: unknown): RealtimeError {
  return cause instanceof RealtimeError ? cause : new RealtimeError({ reason: 'CONNECTION_LOST' }, cause);
}

/** The header that carries a token. */
export function authorization(token: string | undefined): Record<string, string> {
  return token ? { authorization: `Bearer ${token}` } : {};
}
