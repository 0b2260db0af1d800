import { createSSEClient } from '@millrace/client/realtime';
import { console, showNotification } from '../parts/console.tsx';

export function start() {
  const sseClient = createSSEClient('/events');

  // Listen for events
  sseClient.on('update', (data) => {
    console.log('Update received:', data);
  });

  sseClient.on('notification', (data) => {
    showNotification(data);
  });

  return () => {
    // Cleanup
    sseClient.close();
  };
}
