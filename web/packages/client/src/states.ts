/** What a connection is doing. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'error';

/** What can happen to it: the application's `connect` and `disconnect`, and what becomes of a link. */
export type ConnectionEvent = 'connect' | 'disconnect' | 'opened' | 'lost' | 'refused';

/** The state after an event. PROTOCOL.md has this as a table, and a test holds the two together. */
export function after(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  if (event === 'disconnect') return 'disconnected';
  if (event === 'connect') return state === 'connected' || state === 'reconnecting' ? state : 'connecting';
  if (state === 'disconnected' || state === 'error') return state; // nobody waits for a link
  if (event === 'opened') return 'connected';
  return event === 'lost' ? 'reconnecting' : 'error';
}
