import { RealtimeProvider } from '@millrace/client/realtime';
import { Queries } from '../parts/queries.tsx';

function App() {
  return (
    <RealtimeProvider
      config={{
        type: 'websocket',
        url: '/ws',
        cacheStrategies: [
          // Merge user updates
          {
            entity: 'user',
            updateType: 'merge',
            queryKey: ['users'],
            transform: (data) => ({
              ...data,
              updatedAt: Date.now()
            })
          },

          // Append new messages
          {
            entity: 'message',
            updateType: 'append',
            queryKey: ['messages']
          },

          // Remove deleted items
          {
            entity: 'post',
            updateType: 'remove',
            queryKey: ['posts']
          }
        ]
      }}
    >
      <Queries />
    </RealtimeProvider>
  );
}

export { App };
