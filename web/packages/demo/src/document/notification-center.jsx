import { useRealtimeContext } from '@millrace/client/realtime';
import { useEffect, useState } from 'react';
import { Notification, playNotificationSound, toast } from '../parts/notifications.tsx';

function NotificationCenter() {
  const { subscribe } = useRealtimeContext();
  const [notifications, setNotifications] = useState([]);

  useEffect(() => {
    return subscribe('notifications', (notification) => {
      setNotifications(prev => [notification, ...prev]);

      // Show toast
      toast.info(notification.message);

      // Play sound
      playNotificationSound();
    });
  }, [subscribe]);

  return (
    <div className="notifications">
      {notifications.map(notif => (
        <Notification key={notif.id} {...notif} />
      ))}
    </div>
  );
}

export { NotificationCenter };
