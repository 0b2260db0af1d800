import { useRealtimeContext } from '@millrace/client/realtime';
import { useEffect, useState } from 'react';
import { currentUserId } from '../visitor.ts';
import { MessageInput, MessageList, TypingIndicator } from '../parts/messages.tsx';

function ChatRoom({ roomId }) {
  const { subscribe, send } = useRealtimeContext();
  const [messages, setMessages] = useState([]);
  const [typing, setTyping] = useState([]);

  useEffect(() => {
    const channel = `chat.${roomId}`;

    const unsubscribe = subscribe(channel, (event) => {
      switch (event.type) {
        case 'message':
          setMessages(prev => [...prev, event.data]);
          break;

        case 'typing':
          setTyping(prev => [...prev, event.userId]);
          setTimeout(() => {
            setTyping(prev => prev.filter(id => id !== event.userId));
          }, 3000);
          break;
      }
    });

    return unsubscribe;
  }, [roomId, subscribe]);

  const sendMessage = (text) => {
    send(`chat.${roomId}`, {
      type: 'message',
      data: {
        text,
        userId: currentUserId,
        timestamp: Date.now()
      }
    });
  };

  const handleTyping = () => {
    send(`chat.${roomId}`, {
      type: 'typing',
      userId: currentUserId
    });
  };

  return (
    <div className="chat">
      <MessageList messages={messages} />
      {typing.length > 0 && (
        <TypingIndicator users={typing} />
      )}
      <MessageInput
        onSend={sendMessage}
        onTyping={handleTyping}
      />
    </div>
  );
}

export { ChatRoom };
