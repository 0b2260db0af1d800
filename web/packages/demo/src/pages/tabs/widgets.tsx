import { RealtimeProvider, useRealtimeContext } from '@millrace/client/realtime';
import { type ReactNode, useEffect, useState } from 'react';

/** Each has a provider of its own, as parts of a page have that were written by different people. */
export function Widgets(): ReactNode {
  const [count, setCount] = useState(3);
  return (
    <div className="stack">
      <label>
        <span>
          Widgets: <b data-count="widgets">{count}</b>
        </span>
        <input type="range" min="1" max="24" value={count} onChange={({ target }) => setCount(Number(target.value))} />
      </label>
      <div className="widgets">
        {Array.from({ length: count }, (_, i) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
          <RealtimeProvider key={i} config={{ type: 'websocket', url: '/ws/widgets' }}>
            <Widget />
          </RealtimeProvider>
        ))}
      </div>
    </div>
  );
}

function Widget(): ReactNode {
  const { subscribe } = useRealtimeContext();
  const [users, setUsers] = useState<number>();
  useEffect(() => subscribe<{ activeUsers: number }>('metrics', (data) => setUsers(data.activeUsers)), [subscribe]);
  return <span className="widget">{users ?? '…'}</span>;
}
