import { useRealtimeContext } from '@millrace/client/realtime';

function ConnectionMonitor() {
  const { connectionState, connect } = useRealtimeContext();

  if (connectionState === 'disconnected') {
    return (
      <div className="alert">
        <p>Connection lost. Attempting to reconnect...</p>
        <button onClick={connect}>Retry Now</button>
      </div>
    );
  }

  if (connectionState === 'reconnecting') {
    return <div>Reconnecting...</div>;
  }

  return null;
}

export { ConnectionMonitor };
