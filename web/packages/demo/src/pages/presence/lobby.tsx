import { useRealtimePresence } from '@millrace/client/realtime';
import type { ReactNode } from 'react';
import { nameOf } from '../../visitor.ts';

/** The hook of existing applications. The server announces who comes and goes in the channel `presence:lobby`. */
export function Lobby(): ReactNode {
  const { users, count } = useRealtimePresence('lobby');
  return (
    <div className="stack">
      <h3>{`${count} in the lobby`}</h3>
      <ul className="plain" aria-label="Lobby">
        {users.map((user) => (
          <li key={user}>{nameOf(user)}</li>
        ))}
      </ul>
    </div>
  );
}
