import { useLatest, useRealtimeClient } from '@millrace/client/react';
import { type ReactNode, useEffect, useState } from 'react';
import { quantile, useRoundTrips } from './roundtrips.tsx';

/** What the server says of itself. */
interface Stats {
  readonly sessions: number;
  readonly channels: number;
  readonly published: number;
  readonly delivered: number;
}

/** How much is going on: on the server, and here. */
export function Footer(): ReactNode {
  const client = useRealtimeClient();
  const stats = useLatest<Stats>('demo.stats', { subscription: { recent: 1 } });
  const times = useRoundTrips(client);
  const rate = useRate();
  const ms = (part: number): string => `${quantile(times, part)?.toFixed(1) ?? '–'} ms`;
  return (
    <footer className="strip">
      <dl>
        <Figure name="sessions" value={stats?.sessions ?? '–'} />
        <Figure name="channels" value={stats?.channels ?? '–'} />
        <Figure name="published/s" value={stats?.published ?? '–'} />
        <Figure name="delivered/s" value={stats?.delivered ?? '–'} />
        <Figure name="here/s" value={rate} />
        <Figure name="round trip p50" value={ms(0.5)} />
        <Figure name="p99" value={ms(0.99)} />
      </dl>
      <Snippets />
    </footer>
  );
}

function Figure({ name, value }: { readonly name: string; readonly value: string | number }): ReactNode {
  return (
    <div>
      <dd>{value}</dd>
      <dt>{name}</dt>
    </div>
  );
}

/** Messages that this page receives in a second. */
function useRate(): number {
  const client = useRealtimeClient();
  const [rate, setRate] = useState(0);
  useEffect(() => {
    let count = 0;
    const undo = client.onMessage(() => {
      count++;
    });
    const timer = setInterval(() => {
      setRate(count);
      count = 0;
    }, 1000);
    return () => {
      undo();
      clearInterval(timer);
    };
  }, [client]);
  return rate;
}

/** How to take part from elsewhere. */
function Snippets(): ReactNode {
  const { origin, host } = location;
  const token = '"Authorization: Bearer $TOKEN"';
  return (
    <details className="snippets">
      <summary>From a terminal</summary>
      <pre>
        {`TOKEN=$(curl -s -d '{"user":""}' ${origin}/demo/api/visitor | sed 's/.*"token":"\\([^"]*\\).*/\\1/')

# Server-Sent Events
curl -N -H ${token} '${origin}/events?channel=chat.lobby'

# publish
curl -H ${token} -d '{"type":"message","data":{"text":"hello","userId":"curl","timestamp":0}}' ${origin}/publish/chat.lobby

# the same as typed RPCs
millrace subscribe chat.lobby --server ${origin} --token "$TOKEN"
millrace publish chat.lobby '{"type":"typing","userId":"quiet-otter-42"}' --server ${origin} --token "$TOKEN"

# a WebSocket
websocat -H=${token} ws://${host}/ws
{"type":"subscribe","channel":"chat.lobby"}`}
      </pre>
    </details>
  );
}
