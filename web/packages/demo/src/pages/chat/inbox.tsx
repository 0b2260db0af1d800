import { useMessages, usePresence } from '@millrace/client/react';
import { type ReactNode, useState } from 'react';
import { DirectMessage } from '../../document/direct-message.jsx';
import { Avatar } from '../../parts/avatar.tsx';
import { currentUserId, nameOf } from '../../visitor.ts';

interface Direct {
  readonly text: string;
  readonly from: string;
}

/** The document's component writes into somebody's inbox. What others write into mine is read here. */
export function Inbox(): ReactNode {
  const { messages } = useMessages<Direct>(`user.${currentUserId}.messages`, { subscription: { recent: 20 } });
  const { members } = usePresence('chat.lobby');
  const [partner, setPartner] = useState('parrot');
  const others = [...members.map(({ user }) => user), ...messages.map(({ data }) => data.from), partner];
  const known = [...new Set(['parrot', ...others])].filter((user) => user !== currentUserId);
  return (
    <div className="direct">
      <label>
        To
        <select value={partner} onChange={(event) => setPartner(event.target.value)}>
          {known.map((user) => (
            <option key={user} value={user}>
              {nameOf(user)}
            </option>
          ))}
        </select>
      </label>
      <div className="sent">
        <h3>{`user.${partner}.messages`}</h3>
        <DirectMessage key={partner} userId={partner} />
      </div>
      <div className="received">
        <h3>{`user.${currentUserId}.messages`}</h3>
        <ul className="plain" aria-label="Inbox">
          {messages.map(({ data, position }) => (
            <li key={position?.offset}>
              <Avatar user={data.from} small />
              <span>{data.text}</span>
              {data.from !== 'parrot' && (
                <button type="button" className="quiet" onClick={() => setPartner(data.from)}>
                  Answer
                </button>
              )}
            </li>
          ))}
          {messages.length === 0 && <li className="empty">Empty. Write to the parrot: it answers.</li>}
        </ul>
      </div>
    </div>
  );
}
