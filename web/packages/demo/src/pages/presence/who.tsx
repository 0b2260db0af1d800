import { usePresence } from '@millrace/client/react';
import { type ReactNode, useState } from 'react';
import { Avatar } from '../../parts/avatar.tsx';
import { currentUserId, nameOf } from '../../visitor.ts';

const moods = ['here', 'busy', 'away'] as const;

/** Everybody with this page open. A member is a user: three tabs of one are one, and a reload is not noticed. */
export function Who(): ReactNode {
  const [mood, setMood] = useState<string>('here');
  const { members, total } = usePresence<{ mood: string }>('room.presence', { mood });
  return (
    <div className="stack">
      <h3>{`${total} here`}</h3>
      <ul className="people" aria-label="Present">
        {members.map(({ user, data }) => (
          <li key={user} data-user={user}>
            <Avatar user={user} />
            <b>{user === currentUserId ? `${nameOf(user)} (you)` : nameOf(user)}</b>
            <small>{data?.mood ?? 'here'}</small>
          </li>
        ))}
      </ul>
      <fieldset className="choices">
        <legend>You are</legend>
        {moods.map((each) => (
          <button key={each} type="button" aria-pressed={each === mood} onClick={() => setMood(each)}>
            {each}
          </button>
        ))}
      </fieldset>
    </div>
  );
}
