import type { Position } from '@millrace/client';
import { channelQuery } from '@millrace/client/query';
import { useRealtimeClient, useRealtimeContext } from '@millrace/client/react';
import { useQuery } from '@tanstack/react-query';
import { type ReactNode, useEffect, useState } from 'react';
import { edit, type User, Users } from '../../parts/rows.tsx';
import { api } from '../../visitor.ts';

interface Answer {
  readonly rows: readonly User[];
  readonly position?: Position;
}

/** A query that is loaded once and then follows its channel from the very place that it was read at. */
export function Table(): ReactNode {
  const client = useRealtimeClient();
  const { connect, disconnect } = useRealtimeContext();
  const [loads, setLoads] = useState(0);
  const [gaps, setGaps] = useState(0);
  const { data = [] } = useQuery(
    channelQuery<readonly User[], User>(client, {
      queryKey: ['table'],
      channel: 'entities.user',
      fetch: async () => {
        const { rows, ...at } = await api<Answer>('GET', 'users');
        setLoads((n) => n + 1);
        return { data: rows, ...at };
      },
      reduce: (rows, { data }) => rows.map((row) => (row.id === data.id ? data : row)),
    }),
  );
  useEffect(() => client.channel('entities.user').onGap(() => setGaps((n) => n + 1)), [client]);

  // The channel keeps twenty changes. Who is away for more than that cannot be told all of them.
  const fallBehind = async (): Promise<void> => {
    disconnect();
    for (let i = 0; i < 30; i++) for (const user of data.slice(i % 5, (i % 5) + 1)) await edit(user);
    connect();
  };
  return (
    <div className="stack">
      <Users users={data} />
      <p className="row">
        <button type="button" onClick={fallBehind}>
          Be away for 30 changes
        </button>
        <small>
          loads: <b data-count="loads">{loads}</b>, gaps: <b data-count="gaps">{gaps}</b>
        </small>
      </p>
    </div>
  );
}
