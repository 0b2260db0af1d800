import { type ReactNode, useEffect, useState } from 'react';

/** No library: what every browser has. It comes back by itself, and brings the id of the last event with it. */
export function PlainEvents(): ReactNode {
  const [events, setEvents] = useState<readonly { id: string; data: string }[]>([]);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const source = new EventSource('/events?channel=notifications');
    source.onopen = () => setOpen(true);
    source.onerror = () => setOpen(false);
    source.addEventListener('notifications', ({ lastEventId: id, data }) =>
      setEvents((before) => [...before.slice(-4), { id, data }]),
    );
    return () => source.close();
  }, []);
  return (
    <div className="stack">
      <h3>{open ? 'Open' : 'Coming back'}</h3>
      <ol className="console" aria-label="Events">
        {events.map(({ id, data }) => (
          <li key={id}>{data}</li>
        ))}
        {events.length === 0 && <li className="empty">No event came yet.</li>}
      </ol>
    </div>
  );
}
