import { useRealtimeContext } from '@millrace/client/realtime';
import { useEffect, useState } from 'react';
import { currentUserId } from '../visitor.ts';

function OnlineUsers() {
  const { subscribe, send } = useRealtimeContext();
  const [onlineUsers, setOnlineUsers] = useState([]);

  useEffect(() => {
    // Announce presence
    send('presence', {
      type: 'join',
      userId: currentUserId
    });

    // Listen for presence updates
    const unsubscribe = subscribe('presence', (data) => {
      if (data.type === 'join') {
        setOnlineUsers(prev => [...prev, data.userId]);
      } else if (data.type === 'leave') {
        setOnlineUsers(prev =>
          prev.filter(id => id !== data.userId)
        );
      }
    });

    // Announce leaving on unmount
    return () => {
      send('presence', {
        type: 'leave',
        userId: currentUserId
      });
      unsubscribe();
    };
  }, [subscribe, send]);

  return (
    <div>
      <h3>Online ({onlineUsers.length})</h3>
      <ul>
        {onlineUsers.map(userId => (
          <li key={userId}>{userId}</li>
        ))}
      </ul>
    </div>
  );
}

export { OnlineUsers };
