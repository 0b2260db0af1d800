/**
 * The core of the client: channels, resume, acknowledged publishing, presence. No framework, no dependency.
 *
 * It promises:
 * - Subscriptions, what waits to be sent, and presence belong to the client. A connection may end; they go on with the next.
 * - A message is handed to a handler once and in order, or `onGap` says what could not be had.
 * - What `publish` accepted is published once, in order, or its promise is rejected.
 * - A handler that throws disturbs no other.
 * - Whoever subscribes gets an undo.
 *
 * @module
 */
export type { Ack, Channel, History, HistoryOptions, Presence, PresencePage } from './channel.ts';
export { type Client, type ClientOptions, createClient, type Positions, type Snapshot } from './client.ts';
export type { ConnectionOptions } from './connection.ts';
export { type ClientReason, RealtimeError, type ServerReason } from './error.ts';
export type { HeartbeatOptions } from './heartbeat.ts';
export type { IterateOptions } from './iterate.ts';
export type { Undo } from './listeners.ts';
export type { Handler, Message } from './message.ts';
export type { ChannelMap, ChannelName, DataOf } from './names.ts';
export type { Member, PresenceSnapshot } from './presence.ts';
export type { QueueOptions } from './requests.ts';
export { type BackoffOptions, backoff, fastBackoff, type ReconnectPolicy } from './retry.ts';
export { type Channels, type DataOfSchemas, defineChannels, type Schema, type } from './schema.ts';
export type { ConnectionState } from './states.ts';
export type { Gap, SubscriptionState } from './subscription.ts';
export type { Link, LinkContext, LinkEvents, Transport } from './transport.ts';
export { connectStream } from './transports/connect.ts';
export type { HTTPOptions } from './transports/http.ts';
export { sse } from './transports/sse.ts';
export { type WebSocketClass, type WebSocketOptions, websocket } from './transports/websocket.ts';
export type { ChannelOptions, Command, Delivery, Frame, Notice, Position, PublishOptions } from './wire.ts';
