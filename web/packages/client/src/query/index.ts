/**
 * The client with TanStack Query: messages that keep a cache up to date.
 *
 * It promises:
 * - The cache is the application's own, and only what is cached changes.
 * - However many messages come, queries are told once a frame.
 * - After a gap, what the channel feeds is loaded anew.
 *
 * @module
 */
export { bindQueryClient } from './bind.ts';
export { entityChannel, type StreamEvent, type StreamEventType } from './events.ts';
export type { ChannelQuery } from './follow.ts';
export { useCacheStrategies } from './hook.ts';
export { type RealtimeMutation, useRealtimeMutation } from './mutation.ts';
export { type ChannelQueryOptions, channelQuery } from './query.ts';
export { type CacheUpdateStrategy, createCacheStrategy, type KeyStrategy, type UpdateStrategy } from './strategies.ts';
export { createStreamCacheUpdater, type StreamCacheConfig, StreamQueryCacheUpdater } from './updater.ts';
