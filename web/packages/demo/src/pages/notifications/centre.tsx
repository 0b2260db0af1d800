import { RealtimeProvider } from '@millrace/client/realtime';
import type { ReactNode } from 'react';
import { NotificationCenter } from '../../document/notification-center.jsx';
import { tokenFor } from '../../visitor.ts';

/** The document's component over Server-Sent Events instead of a WebSocket: another word in the config. */
export function Centre(): ReactNode {
  return (
    <RealtimeProvider config={{ type: 'sse', url: '/events', token: tokenFor }}>
      <NotificationCenter />
    </RealtimeProvider>
  );
}
