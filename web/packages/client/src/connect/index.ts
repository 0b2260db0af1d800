/**
 * The generated service, for those who want Connect-Web or another transport of Connect, in a browser or behind one. The messages
 * are those of `proto/millrace/v1`; its comments are the reference.
 *
 * It needs `@bufbuild/protobuf` and `@connectrpc/connect`; the other entry points need neither.
 *
 * @module
 */

export * from '../gen/millrace/v1/admin_service_pb.ts';
export * from '../gen/millrace/v1/errors_pb.ts';
export * from '../gen/millrace/v1/message_pb.ts';
export * from '../gen/millrace/v1/presence_pb.ts';
export * from '../gen/millrace/v1/realtime_service_pb.ts';
export { errorInfo } from './error.ts';
