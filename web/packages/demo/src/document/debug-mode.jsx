import { RealtimeProvider } from '@millrace/client/realtime';
import { App } from '../parts/app.tsx';

export const debugMode = (
  <RealtimeProvider
    config={{
      type: 'websocket',
      url: '/ws',
      debug: true // Enable debug logging
    }}
  >
    <App />
  </RealtimeProvider>
);
