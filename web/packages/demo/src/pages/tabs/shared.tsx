import { createClient, fastBackoff, websocket } from '@millrace/client';
import { shared } from '@millrace/client/shared';
import { type ReactNode, useEffect, useState, useSyncExternalStore } from 'react';
import { tokenFor } from '../../visitor.ts';

/** One of the tabs has the connection of all. When it is closed, another takes over. */
const client = createClient({
  transports: [shared(websocket('/ws/tabs'), { name: 'demo' })],
  token: tokenFor,
  reconnect: fastBackoff({ max: 3000 }),
});

export function Shared(): ReactNode {
  const { state } = useSyncExternalStore(client.onChange, client.getSnapshot);
  const [users, setUsers] = useState<number>();
  useEffect(() => client.retain(), []);
  useEffect(() => client.subscribe('metrics', (data) => setUsers((data as { activeUsers: number }).activeUsers)), []);
  return (
    <div className="row">
      <b className="pill" data-state={state}>
        {state}
      </b>
      <span className="widget">{users ?? '…'}</span>
      <button type="button" onClick={() => window.open(location.href)}>
        Open another tab
      </button>
    </div>
  );
}
