import { useChannel } from '@millrace/client/react';
import { useRealtimeContext } from '@millrace/client/realtime';
import { type ReactNode, useEffect, useLayoutEffect, useRef, useState } from 'react';
import { colorOf, currentUserId, nameOf } from '../visitor.ts';

interface EditorProps {
  readonly content: string;
  readonly onChange: (content: string) => void;
  readonly cursors: Readonly<Record<string, number>>;
}

/** The channel of the document that is edited here. */
const channel = 'document.notes';

/**
 * A text that others write in as well. The last to write is right, so while something of this writer is on its way, what
 * comes was written before it and is not shown: typing is never set back.
 */
export function Editor({ content, onChange, cursors }: EditorProps): ReactNode {
  const { send } = useRealtimeContext();
  const [text, setText] = useState(content);
  const sent = useRef<string[]>([]); // what has not come back yet
  const area = useRef<HTMLTextAreaElement>(null);
  const caret = useRef<readonly [number, number]>(undefined); // to be put back when the text is another
  useChannel<{ content?: string }>(channel, (event, { self }) => {
    if (self && event.content !== undefined) sent.current.splice(0, sent.current.indexOf(event.content) + 1);
  });
  // While it is drawn, so that it knows of the same messages as `content`.
  useLayoutEffect(() => {
    if (sent.current.length > 0 || !area.current || content === area.current.value) return;
    caret.current = [area.current.selectionStart, area.current.selectionEnd];
    setText(content);
  }, [content]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: a browser moves the caret to the end of another text
  useLayoutEffect(() => {
    if (caret.current) area.current?.setSelectionRange(...caret.current);
    caret.current = undefined;
  }, [text]);
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
