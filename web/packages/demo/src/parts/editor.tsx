import { useRealtimeContext } from '@millrace/client/realtime';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { colorOf, currentUserId, nameOf } from '../visitor.ts';

interface EditorProps {
  readonly content: string;
  readonly onChange: (content: string) => void;
  readonly cursors: Readonly<Record<string, number>>;
}

/** The channel of the document that is edited here. */
const channel = 'document.notes';

/**
 * A text that others write in as well. It is given back what it has sent, and meanwhile the writer has gone on: what
 * comes back is not taken for news.
 */
export function Editor({ content, onChange, cursors }: EditorProps): ReactNode {
  const { send } = useRealtimeContext();
  const [text, setText] = useState(content);
  const sent = useRef<string[]>([]);
  const area = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    const echo = sent.current.indexOf(content);
    if (echo >= 0) sent.current = sent.current.slice(echo + 1);
    else if (content) setText(content);
  }, [content]);
  useEffect(() => () => send(channel, { type: 'user-leave', userId: currentUserId }), [send]);

  const tellCursor = (): void =>
    send(channel, { type: 'cursor-move', userId: currentUserId, position: area.current?.selectionEnd ?? 0 });
  return (
    <div className="editor">
      <textarea
        ref={area}
        aria-label="Shared text"
        spellCheck={false}
        rows={8}
        value={text}
        placeholder="Write here. Whoever has this page open writes in the same text."
        onChange={(event) => {
          setText(event.target.value);
          sent.current.push(event.target.value);
          onChange(event.target.value);
        }}
        onSelect={tellCursor}
      />
      <ul className="places" aria-label="Who writes where">
        {Object.entries(cursors)
          .filter(([user]) => user !== currentUserId)
          .map(([user, position]) => (
            <li key={user} style={{ '--user': colorOf(user) } as object}>
              {`${nameOf(user)}, line ${text.slice(0, position).split('\n').length}`}
            </li>
          ))}
      </ul>
    </div>
  );
}
