import { useQuery } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { api } from '../visitor.ts';
import { type User, Users } from './rows.tsx';

/** An application with a query. It knows nothing of messages. */
export function YourApp(): ReactNode {
  const { data = [] } = useQuery({
    queryKey: ['users'],
    queryFn: async () => (await api<{ rows: User[] }>('GET', 'users')).rows,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return <Users users={data} />;
}
