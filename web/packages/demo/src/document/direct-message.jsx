import { useRealtimeContext } from '@millrace/client/realtime';
import { useEffect, useState } from 'react';
import { currentUserId } from '../visitor.ts';
import { MessageInput } from '../parts/messages.tsx';

function DirectMessage({ userId }) {
  const { subscribe, send } = useRealtimeContext();
  const [messages, setMessages] = useState([]);

  useEffect(() => {
    // Subscribe to private channel
    const channel = `user.${userId}.messages`;

    return subscribe(channel, (message) => {
      setMessages(prev => [...prev, message]);
    });
  }, [userId, subscribe]);

  const sendMessage = (text) => {
    send(`user.${userId}.messages`, {
      text,
      from: currentUserId,
      timestamp: Date.now()
    });
  };

  return (
    <div>
      {messages.map(msg => (
        <div key={msg.timestamp}>{msg.text}</div>
      ))}
      <MessageInput onSend={sendMessage} />
    </div>
  );
}

export { DirectMessage };
