/** What a connection is doing. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'error';

/** What can happen to it: the application's `connect` and `disconnect`, and what becomes of a link. */
export type ConnectionEvent = 'connect' | 'disconnect' | 'opened' | 'lost' | 'refused';

/** Every state and every event; PROTOCOL.md explains them. */
const transitions: Readonly<Record<ConnectionState, Readonly<Record<ConnectionEvent, ConnectionState>>>> = {
  disconnected: {
    connect: 'connecting',
    disconnect: 'disconnected',
    opened: 'disconnected',
    lost: 'disconnected',
    refused: 'disconnected',
  },
  connecting: {
    connect: 'connecting',
    disconnect: 'disconnected',
    opened: 'connected',
    lost: 'reconnecting',
    refused: 'error',
  },
  connected: {
    connect: 'connected',
    disconnect: 'disconnected',
    opened: 'connected',
    lost: 'reconnecting',
    refused: 'error',
  },
  reconnecting: {
    connect: 'reconnecting',
    disconnect: 'disconnected',
    opened: 'connected',
    lost: 'reconnecting',
    refused: 'error',
  },
  error: { connect: 'connecting', disconnect: 'disconnected', opened: 'error', lost: 'error', refused: 'error' },
};

/** The state after an event. */
export function after(state: ConnectionState, event: ConnectionEvent): ConnectionState {
  return transitions[state][event];
}
