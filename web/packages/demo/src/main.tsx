import { fastBackoff } from '@millrace/client';
import { RealtimeProvider } from '@millrace/client/realtime';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { Shell } from './shell/shell.tsx';
import './style/index.css';
import { enter, tokenFor } from './visitor.ts';

const root = document.getElementById('root');
if (!root) throw new Error('the page has no root');

await enter();
createRoot(root).render(
  <QueryClientProvider client={new QueryClient()}>
    <RealtimeProvider
      config={{ type: 'websocket', url: '/ws', token: tokenFor, reconnect: fastBackoff({ max: 5000 }) }}
    >
      <Shell />
    </RealtimeProvider>
  </QueryClientProvider>,
);
