import { RealtimeProvider, useRealtimeContext } from '@millrace/client/realtime';
import { useEffect, useState } from 'react';
import { MetricCard } from '../parts/metric-card.tsx';

function LiveDashboard() {
  return (
    <RealtimeProvider
      config={{
        type: 'websocket',
        url: '/ws/dashboard',
        autoConnect: true
      }}
    >
      <DashboardContent />
    </RealtimeProvider>
  );
}

function DashboardContent() {
  const { subscribe } = useRealtimeContext();
  const [metrics, setMetrics] = useState({
    revenue: 0,
    users: 0,
    orders: 0
  });

  useEffect(() => {
    return subscribe('dashboard.metrics', (data) => {
      setMetrics(prev => ({
        ...prev,
        ...data
      }));
    });
  }, [subscribe]);

  return (
    <div className="dashboard">
      <MetricCard title="Revenue" value={`$${metrics.revenue}`} />
      <MetricCard title="Active Users" value={metrics.users} />
      <MetricCard title="Orders" value={metrics.orders} />
    </div>
  );
}

export { LiveDashboard };
