import { useRealtimeContext } from '@millrace/client/realtime';
import { useEffect } from 'react';

function LiveComponent() {
  const {
    isConnected,
    connectionState,
    connect,
    disconnect,
    subscribe,
    send,
    realtimeEnabled
  } = useRealtimeContext();

  useEffect(() => {
    if (!isConnected) {
      connect();
    }
  }, [isConnected, connect]);

  return (
    <div>
      Status: {connectionState}
      {realtimeEnabled ? '✅ Enabled' : '❌ Disabled'}
    </div>
  );
}

export { LiveComponent };
