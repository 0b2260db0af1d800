import { RealtimeProvider } from '@millrace/client/realtime';
import { YourApp } from '../parts/your-app.tsx';

function App() {
  return (
    <RealtimeProvider
      config={{
        type: 'websocket',
        url: '/ws',
        autoConnect: true,
        cacheStrategies: [
          {
            entity: 'user',
            updateType: 'merge',
            queryKey: ['users']
          }
        ]
      }}
    >
      <YourApp />
    </RealtimeProvider>
  );
}

export { App };
