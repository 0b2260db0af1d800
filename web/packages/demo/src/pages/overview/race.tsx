import { type Client, connectStream, createClient, sse, type Transport, websocket } from '@millrace/client';
import { type ReactNode, useEffect, useMemo, useState } from 'react';
import { tokenFor } from '../../visitor.ts';

const wires: Readonly<Record<string, Transport>> = {
  WebSocket: websocket('/ws'),
  'Connect stream': connectStream('/'),
  'Server-Sent Events': sse('/events'),
};

/** One channel over three wires: the same messages in the same order. */
export function Race(): ReactNode {
  return (
    <div className="race card">
      {Object.entries(wires).map(([name, transport]) => (
        <Lane key={name} name={name} transport={transport} />
      ))}
    </div>
  );
}

/** How long a message is on its way across the lane, in milliseconds. A short lane has room for fewer. */
const crossing = matchMedia('(width < 620px)').matches ? 3000 : 6000;

interface Drop {
  readonly number: number;
  readonly offset: number;
}

function Lane({ name, transport }: { readonly name: string; readonly transport: Transport }): ReactNode {
  const client = useMemo(() => createClient({ transports: [transport], token: tokenFor }), [transport]);
  const drops = useDrops(client);
  return (
    <div className="lane" data-lane={name}>
      <b>{name}</b>
      <span className="water">
        {drops.map(({ number, offset }) => (
          <i key={offset} data-number={number} style={{ animationDuration: `${crossing}ms` }}>
            {number}
          </i>
        ))}
      </span>
    </div>
  );
}

/** What came lately. */
function useDrops(client: Client): readonly Drop[] {
  const [drops, setDrops] = useState<readonly Drop[]>([]);
  useEffect(() => {
    const timers = new Set<ReturnType<typeof setTimeout>>();
    const channel = client.channel('demo.pulse');
    const undo = channel.subscribe((data, { position }) => {
      const drop = { number: Number(data), offset: position?.offset ?? 0 };
      setDrops((before) => [...before, drop]);
      const timer = setTimeout(() => {
        timers.delete(timer);
        setDrops((before) => before.filter((other) => other !== drop));
      }, crossing);
      timers.add(timer);
    });
    const release = client.retain();
    return () => {
      undo();
      release();
      for (const timer of timers) clearTimeout(timer);
    };
  }, [client]);
  return drops;
}
