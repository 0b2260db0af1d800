import { useState } from 'preact/hooks';
import { Action, Field, sessions, Title } from '../parts.tsx';
import { useConsole } from '../state.ts';

/** Ends what somebody may do: for a while, or with the credentials so far. */
export function Access() {
  const { node } = useConsole();
  const may = (action: string): boolean => node.allowed?.includes(action) ?? false;
  return (
    <>
      <Title text="Access" />
      <div class="halves">
        {may('disconnect') && <Kick />}
        {may('revoke') && <Revoke />}
      </div>
      {!may('disconnect') && !may('revoke') && (
        <p class="notice">Your credentials allow to look, and nothing of this.</p>
      )}
    </>
  );
}

function Kick() {
  const { api } = useConsole();
  const [user, setUser] = useState('');
  const [seconds, setSeconds] = useState('60');
  return (
    <section class="card">
      <h2>Keep a user out for a while</h2>
      <p>All sessions of the user end, and every call is refused until the time is over, with any credentials.</p>
      <Field label="User">
        {(id) => <input id={id} value={user} onInput={(event) => setUser(event.currentTarget.value)} />}
      </Field>
      <Field label="For">
        {(id) => (
          <select id={id} value={seconds} onChange={(event) => setSeconds(event.currentTarget.value)}>
            <option value="60">a minute</option>
            <option value="600">ten minutes</option>
            <option value="3600">an hour</option>
            <option value="86400">a day</option>
          </select>
        )}
      </Field>
      <Action
        label="Kick"
        disabled={!user}
        question={`Kick ${user || 'nobody'}?`}
        run={async () => {
          const { sessions: n } = await api.call('Kick', { user, duration: `${seconds}s` });
          return `${user} is out; ${sessions(n)} ended.`;
        }}
      />
    </section>
  );
}

function Revoke() {
  const { api } = useConsole();
  const [what, setWhat] = useState<'user' | 'tokenId'>('user');
  const [value, setValue] = useState('');
  return (
    <section class="card">
      <h2>Revoke credentials</h2>
      <p>Sessions with them end at once. A user may come back with a token that was issued later.</p>
      <Field label="What">
        {(id) => (
          <select
            id={id}
            value={what}
            onChange={(event) => setWhat(event.currentTarget.value === 'user' ? 'user' : 'tokenId')}
          >
            <option value="user">all that a user was issued so far</option>
            <option value="tokenId">one token, by its id (jti)</option>
          </select>
        )}
      </Field>
      <Field label={what === 'user' ? 'Whose' : 'Token id'}>
        {(id) => <input id={id} value={value} onInput={(event) => setValue(event.currentTarget.value)} />}
      </Field>
      <Action
        label="Revoke"
        disabled={!value}
        question={what === 'user' ? `Revoke what ${value || 'nobody'} was issued?` : `Revoke the token ${value}?`}
        run={async () => {
          const { sessions: n } = await api.call('Revoke', { [what]: value });
          return `Revoked; ${sessions(n)} ended.`;
        }}
      />
    </section>
  );
}
