import { useRealtimeContext } from '@millrace/client/realtime';
import { type ReactNode, useEffect, useState } from 'react';

/** An application that only counts what comes. */
export function App(): ReactNode {
  const { subscribe } = useRealtimeContext();
  const [count, setCount] = useState(0);
  useEffect(() => subscribe('metrics', () => setCount((n) => n + 1)), [subscribe]);
  return <p>{`${count} messages: each is a line in the browser's console`}</p>;
}
