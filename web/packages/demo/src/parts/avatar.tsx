import type { ReactNode } from 'react';
import { colorOf, nameOf } from '../visitor.ts';

/** A visitor as a disc in his colour. */
export function Avatar({ user, small = false }: { readonly user: string; readonly small?: boolean }): ReactNode {
  const initials = nameOf(user)
    .split(' ')
    .map((word) => word[0])
    .join('');
  return (
    <span className={small ? 'avatar small' : 'avatar'} style={{ background: colorOf(user) }} title={nameOf(user)}>
      {initials}
    </span>
  );
}
