/**
 * The names that existing applications import, with the same shapes.
 *
 * @module
 */
export type { Undo } from '../listeners.ts';
export {
  type CacheUpdateStrategy,
  createCacheStrategy,
  createStreamCacheUpdater,
  type StreamCacheConfig,
  type StreamEvent,
  type StreamEventType,
  StreamQueryCacheUpdater,
} from '../query/index.ts';
export { type RealtimeContextValue, useRealtimeContext } from '../react/provider.ts';
export type { ConnectionState } from '../states.ts';
export {
  type CircuitState,
  ConnectionTimeoutError,
  createSSECircuitBreaker,
  createWebSocketCircuitBreaker,
  disposeAllRealtimeCircuitBreakers,
  getAllRealtimeCircuitBreakerMetrics,
  getRealtimeCircuitBreaker,
  RealtimeCircuitBreaker,
  type RealtimeCircuitBreakerConfig,
  type RealtimeConnectionMetrics,
  type RealtimeConnectionState,
  resetAllRealtimeCircuitBreakers,
} from './breaker.ts';
export {
  type UseMultiRealtimeStreamResult,
  type UseRealtimeStreamOptions,
  type UseRealtimeStreamResult,
  useBufferedRealtimeStream,
  useMultiRealtimeStream,
  useRealtimeConnection,
  useRealtimePresence,
  useRealtimeStream,
} from './hooks.ts';
export {
  type RealtimeConnectionType,
  RealtimeProvider,
  type RealtimeProviderConfig,
  type RealtimeProviderProps,
} from './provider.ts';
export { createSSEClient, SSEClient, type SSEClientConfig, type SSEMessageHandler, type SSEState } from './sse.ts';
export type { RealtimeErrorEvent, ReconnectConfig } from './states.ts';
export {
  createWebSocketClient,
  WebSocketClient,
  type WebSocketClientConfig,
  type WebSocketState,
} from './websocket.ts';
