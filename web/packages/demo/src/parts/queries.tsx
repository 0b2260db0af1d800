import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { api } from '../visitor.ts';
import { type User, Users } from './rows.tsx';

interface Row {
  readonly id: string;
  readonly text?: string;
  readonly title?: string;
}

function useRows<T>(table: string): readonly T[] {
  const { data = [] } = useQuery({
    queryKey: [table],
    queryFn: async () => (await api<{ rows: T[] }>('GET', table)).rows,
    staleTime: Number.POSITIVE_INFINITY,
  });
  return data;
}

/** Three queries that are loaded once, and changed in the database only. */
export function Queries(): ReactNode {
  const users = useRows<User>('users');
  const messages = useRows<Row>('messages');
  const posts = useRows<Row>('posts');
  const queryClient = useQueryClient();
  // A strategy that removes adds nothing: a new post is seen once the query is loaded anew.
  const restore = async (): Promise<void> => {
    await api('POST', 'posts', { title: sentence() });
    await queryClient.invalidateQueries({ queryKey: ['posts'] });
  };
  return (
    <div className="queries">
      <h3>users: merge</h3>
      <Users users={users} />
      <h3>
        messages: append
        <button type="button" className="quiet" onClick={() => api('POST', 'messages', { text: sentence() })}>
          Add a message
        </button>
      </h3>
      <ul className="plain" aria-label="messages">
        {messages.slice(-4).map((row) => (
          <li key={row.id}>{row.text}</li>
        ))}
      </ul>
      <h3>
        posts: remove
        <button type="button" className="quiet" onClick={restore}>
          Add a post, load anew
        </button>
      </h3>
      <ul className="plain" aria-label="posts">
        {posts.map((row) => (
          <li key={row.id}>
            {row.title}
            <button type="button" className="quiet" onClick={() => api('DELETE', `posts/${row.id}`)}>
              Delete<span className="sr-only">{` ${row.title}`}</span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}

const subjects = ['The sluice', 'The wheel', 'The river', 'The miller', 'The cat'];
const verbs = ['opens at dawn', 'turns slowly', 'runs high', 'counts the sacks', 'sleeps on the flour'];

function sentence(): string {
  const any = (of: readonly string[]): string => of[Math.floor(Math.random() * of.length)] ?? '';
  return `${any(subjects)} ${any(verbs)}`;
}
