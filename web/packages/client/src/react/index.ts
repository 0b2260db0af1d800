/**
 * The client in React: a provider and hooks.
 *
 * It promises:
 * - Rendering again, in place configs and StrictMode never make a second connection or subscription.
 * - However many messages come, a hook renders once a frame, and loses none.
 * - On a server it renders what there is without a connection.
 *
 * @module
 */
export type { FlagSource } from '../flag.ts';
export type { RealtimeConfig } from './config.ts';
export {
  type ChannelHookOptions,
  type Messages,
  type Present,
  type Publishing,
  type Typing,
  useChannel,
  useChannelState,
  useLatest,
  useMessages,
  usePresence,
  usePublish,
  useTyping,
} from './hooks.ts';
export {
  type RealtimeContextValue,
  RealtimeProvider,
  type RealtimeProviderProps,
  useConnection,
  useRealtimeClient,
  useRealtimeContext,
} from './provider.ts';
