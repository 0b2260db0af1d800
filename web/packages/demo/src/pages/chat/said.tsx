import { useMessages } from '@millrace/client/react';
import type { ReactNode } from 'react';

/** What came of the document's form: it publishes in `chat`. */
export function Said(): ReactNode {
  const { messages } = useMessages<{ text: string }>('chat', { max: 5 });
  return (
    <ul className="plain" aria-label="Channel chat">
      {messages.map(({ data, position }) => (
        <li key={position?.offset}>
          <code>{JSON.stringify(data)}</code>
        </li>
      ))}
      {messages.length === 0 && <li className="empty">Nothing came in chat yet.</li>}
    </ul>
  );
}
