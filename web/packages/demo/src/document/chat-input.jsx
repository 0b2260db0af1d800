import { useRealtimeContext } from '@millrace/client/realtime';
import { useState } from 'react';

function ChatInput() {
  const { send, isConnected } = useRealtimeContext();
  const [message, setMessage] = useState('');

  const handleSubmit = (e) => {
    e.preventDefault();

    if (isConnected && message.trim()) {
      send('chat', {
        text: message,
        timestamp: Date.now()
      });
      setMessage('');
    }
  };

  return (
    <form onSubmit={handleSubmit}>
      <input
        value={message}
        onChange={(e) => setMessage(e.target.value)}
        disabled={!isConnected}
      />
      <button type="submit" disabled={!isConnected}>
        Send
      </button>
    </form>
  );
}

export { ChatInput };
