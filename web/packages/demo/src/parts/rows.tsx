import { type ReactNode, useEffect, useRef } from 'react';
import { api } from '../visitor.ts';

/** A row of the demo's database. */
export interface User {
  readonly id: string;
  readonly name: string;
  readonly city: string;
  readonly score: number;
}

/** A cell that lights up when it changes. */
function Cell({ value }: { readonly value: string | number }): ReactNode {
  const cell = useRef<HTMLTableCellElement>(null);
  const before = useRef(value);
  useEffect(() => {
    if (before.current === value) return;
    before.current = value;
    cell.current?.animate([{ background: 'var(--flash)' }, { background: 'transparent' }], 1200);
  }, [value]);
  return <td ref={cell}>{value}</td>;
}

const cities = ['Berlin', 'Kyoto', 'Lagos', 'Lima', 'London', 'Oslo', 'Porto', 'Quito', 'Vienna'];
const any = <T,>(of: readonly T[]): T | undefined => of[Math.floor(Math.random() * of.length)];

/** Changes a row in the database. The page hears of it as everybody does. */
export function edit(user: User): Promise<unknown> {
  return api('PATCH', `users/${user.id}`, { city: any(cities), score: Math.round(500 + Math.random() * 500) });
}

export function Users({ users }: { readonly users: readonly User[] }): ReactNode {
  return (
    <table className="rows">
      <thead>
        <tr>
          <th>Name</th>
          <th>City</th>
          <th>Score</th>
          <th>
            <span className="sr-only">Change</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {users.map((user) => (
          <tr key={user.id} data-row={user.id}>
            <th scope="row">{user.name}</th>
            <Cell value={user.city} />
            <Cell value={user.score} />
            <td>
              <button type="button" className="quiet" onClick={() => edit(user)}>
                Edit<span className="sr-only">{` ${user.name}`}</span>
              </button>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
