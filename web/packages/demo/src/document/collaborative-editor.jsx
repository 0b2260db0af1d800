import { useRealtimeContext } from '@millrace/client/realtime';
import { useEffect, useState } from 'react';
import { currentUserId } from '../visitor.ts';
import { Editor } from '../parts/editor.tsx';

function CollaborativeEditor({ documentId }) {
  const { subscribe, send } = useRealtimeContext();
  const [content, setContent] = useState('');
  const [cursors, setCursors] = useState({});

  useEffect(() => {
    const channel = `document.${documentId}`;

    return subscribe(channel, (event) => {
      switch (event.type) {
        case 'content-change':
          setContent(event.content);
          break;

        case 'cursor-move':
          setCursors(prev => ({
            ...prev,
            [event.userId]: event.position
          }));
          break;

        case 'user-leave':
          setCursors(prev => {
            const updated = { ...prev };
            delete updated[event.userId];
            return updated;
          });
          break;
      }
    });
  }, [documentId, subscribe]);

  const handleChange = (newContent) => {
    setContent(newContent);
    send(`document.${documentId}`, {
      type: 'content-change',
      content: newContent,
      userId: currentUserId
    });
  };

  return (
    <div>
      <Editor
        content={content}
        onChange={handleChange}
        cursors={cursors}
      />
    </div>
  );
}

export { CollaborativeEditor };
