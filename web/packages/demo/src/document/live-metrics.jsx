import { useRealtimeContext } from '@millrace/client/realtime';
import { useEffect, useState } from 'react';

function LiveMetrics() {
  const { subscribe } = useRealtimeContext();
  const [metrics, setMetrics] = useState(null);

  useEffect(() => {
    // Subscribe to metrics channel
    const unsubscribe = subscribe('metrics', (data) => {
      setMetrics(data);
    });

    // Cleanup on unmount
    return unsubscribe;
  }, [subscribe]);

  return (
    <div>
      <h2>Live Metrics</h2>
      {metrics && (
        <div>
          <p>Users: {metrics.activeUsers}</p>
          <p>Revenue: ${metrics.revenue}</p>
        </div>
      )}
    </div>
  );
}

export { LiveMetrics };
