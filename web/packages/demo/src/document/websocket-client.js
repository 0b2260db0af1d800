import { createWebSocketClient } from '@millrace/client/realtime';
import { console } from '../parts/console.tsx';

export function start() {
  // Create client
  const client = createWebSocketClient('/ws', {
    reconnect: true,
    reconnectInterval: 3000,
    maxReconnectAttempts: 10,
    heartbeatInterval: 30000
  });

  // Connect
  client.connect();

  // Listen for state changes
  client.onStateChange((state) => {
    console.log('Connection state:', state);
  });

  // Handle messages
  client.onMessage((data) => {
    console.log('Received:', data);
  });

  // Handle errors
  client.onError((error) => {
    console.error('WebSocket error:', error);
  });

  return () => {
    // Disconnect
    client.disconnect();
  };
}
