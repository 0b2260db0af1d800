import { ConnectError } from '@connectrpc/connect';
import { type ErrorInfo, ErrorInfoSchema } from '../gen/millrace/v1/errors_pb.ts';

/** Why a call was refused: the reason, the field, the limit and when to try again. `undefined` for what is no answer of the server. */
export function errorInfo(error: unknown): ErrorInfo | undefined {
  return ConnectError.from(error).findDetails(ErrorInfoSchema)[0];
}
