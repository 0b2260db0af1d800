import { RealtimeError } from '@millrace/client';
import type { ErrorInfoJson } from '@millrace/client/gen/millrace/v1/errors_pb.ts';

/** An error as Connect spells it. What is beside the reason comes from the server's own detail. */
interface ConnectError {
  readonly message?: string;
  readonly details?: readonly { readonly debug?: ErrorInfoJson }[];
}

/** Makes the error of what Connect answered. What another server on the way says is a lost connection. */
export function connectError(value: unknown, status = 0): RealtimeError {
  const { message, details = [] } = (value ?? {}) as ConnectError;
  const info = details.find((detail) => detail.debug?.reason)?.debug;
  if (!info?.reason) {
    const reason = status === 401 ? 'UNAUTHENTICATED' : 'CONNECTION_LOST';
    return new RealtimeError({ reason, message: message ?? `answered with status ${status}` });
  }
  return new RealtimeError({
    reason: info.reason.replace('ERROR_REASON_', ''),
    message: info.message,
    field: info.field,
    for: info.channel,
  });
}
