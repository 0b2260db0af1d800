import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { api } from '../../visitor.ts';

/** A session as the server has it. */
export interface Session {
  readonly id: string;
  readonly protocol: string;
  readonly channels: readonly string[];
}

/** What the server says that this visitor has. */
export function Sessions(): ReactNode {
  const { data = [] } = useQuery({
    queryKey: ['sessions'],
    queryFn: () => api<readonly Session[]>('GET', 'sessions'),
    refetchInterval: 1000,
  });
  return (
    <table className="rows" aria-label="Sessions">
      <thead>
        <tr>
          <th>Session</th>
          <th>Wire</th>
          <th>Channels</th>
        </tr>
      </thead>
      <tbody>
        {data.map(({ id, protocol, channels }) => (
          <tr key={id}>
            <th scope="row">
              <code>{id}</code>
            </th>
            <td>{protocol}</td>
            <td>
              <small>{channels.join(', ')}</small>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
