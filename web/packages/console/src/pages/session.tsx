import type {
  GetSessionResponseJson,
  SessionSubscriptionJson,
} from '@millrace/client/gen/millrace/v1/admin_service_pb.ts';
import { bytes, count, duration, moment } from '../format.ts';
import { Action, type Column, Facts, Problem, sessions, Table, Title } from '../parts.tsx';
import { link } from '../route.ts';
import { useConsole, useLoaded } from '../state.ts';

/** All of one session. */
export function SessionPage({ id }: { readonly id: string }) {
  const { api } = useConsole();
  const { data, error, reload } = useLoaded(id, (signal) => api.call('GetSession', { session: id }, signal));
  const isGone = error.includes('no live session');
  return (
    <>
      <Title text={`Session ${id}`}>{data && !isGone && <Actions of={data} done={reload} />}</Title>
      {isGone ? <p class="notice">This session is not live here any more.</p> : <Problem text={error} />}
      {data && <Details of={data} isGone={isGone} done={reload} />}
    </>
  );
}

function Details({
  of,
  isGone,
  done,
}: {
  readonly of: GetSessionResponseJson;
  readonly isGone: boolean;
  readonly done: () => void;
}) {
  const { api, node } = useConsole();
  const s = of.session ?? {};
  const limit = Number(node.pendingLimit ?? 1);
  const pending = Number(s.pendingBytes ?? 0);
  const remove: Column<SessionSubscriptionJson> = {
    name: 'Action',
    cell: (sub) =>
      !sub.presence &&
      !isGone && (
        <Action
          small
          label="Unsubscribe"
          question={`Unsubscribe ${s.id} from ${sub.channel}?`}
          run={async () => {
            const { sessions: n } = await api.call('Unsubscribe', { session: s.id ?? '', channel: sub.channel ?? '' });
            done();
            return `${sub.channel} was removed from ${sessions(n)}.`;
          }}
        />
      ),
  };
  return (
    <div class={isGone ? 'gone' : ''}>
      <Facts
        of={[
          ['User', s.user ? <a href={link(['sessions'], { user: s.user })}>{s.user}</a> : <i>anonymous</i>],
          ['Wire', `${s.protocol ?? ''}${of.scope ? ` · ${of.scope}` : ''}`],
          ['Address', s.peer],
          ['Client', s.client],
          ['Began', `${moment(s.startTime)} (${duration(Date.now() - Date.parse(s.startTime ?? ''))} ago)`],
          ['Credentials expire', s.expireTime ? moment(s.expireTime) : 'never'],
          ['Token', of.tokenId && <code>{of.tokenId}</code>],
          [
            'Waits for the client',
            <span key="pending">
              <meter min={0} max={limit} high={limit / 2} value={pending} aria-label="Bytes that wait" />{' '}
              {bytes(pending)} of {bytes(limit)}
            </span>,
          ],
          [
            'Takes nothing for',
            of.stalled && <strong class="bad">{duration(Number.parseFloat(of.stalled) * 1000)}</strong>,
          ],
        ]}
      />
      <Table
        caption="Subscriptions"
        columns={node.allowed?.includes('disconnect') ? [...columns, remove] : columns}
        rows={of.subscriptions ?? []}
        id={(sub) => `${sub.channel} ${sub.presence}`}
        empty="It is subscribed to nothing."
      />
      <h2>Present in</h2>
      {of.present?.length ? (
        <ul class="names">
          {of.present.map((name) => (
            <li key={name}>
              <a href={link(['channels', name])}>{name}</a>
            </li>
          ))}
        </ul>
      ) : (
        <p>Nowhere.</p>
      )}
    </div>
  );
}

const columns: readonly Column<SessionSubscriptionJson>[] = [
  { name: 'Channel', cell: (sub) => <a href={link(['channels', sub.channel ?? ''])}>{sub.channel}</a> },
  { name: 'Shows', cell: (sub) => (sub.presence ? 'presence' : 'messages') },
  { name: 'State', cell: (sub) => (sub.behind ? <strong class="bad">reads the log</strong> : 'live') },
  { name: 'Position', isNumber: true, cell: (sub) => (sub.head ? count(sub.position?.offset) : '') },
  { name: 'Head', isNumber: true, cell: (sub) => (sub.head ? count(sub.head.offset) : '') },
  {
    name: 'Lag',
    isNumber: true,
    cell: (sub) =>
      sub.head ? count(Math.max(0, Number(sub.head.offset ?? 0) - Number(sub.position?.offset ?? 0))) : '',
  },
  { name: 'Pending', isNumber: true, cell: (sub) => bytes(sub.pendingBytes) },
];

function Actions({ of, done }: { readonly of: GetSessionResponseJson; readonly done: () => void }) {
  const { api, node } = useConsole();
  const { id = '', user = '' } = of.session ?? {};
  const may = (action: string): boolean => node.allowed?.includes(action) ?? false;
  const ended = (n: number | undefined): string => {
    done();
    return `${sessions(n)} ended.`;
  };
  return (
    <div class="buttons">
      {may('disconnect') && (
        <Action
          label="Disconnect"
          question={`Disconnect session ${id}?`}
          detail={<p>The client is told not to come back by itself.</p>}
          run={async () => ended((await api.call('Disconnect', { session: id })).sessions)}
        />
      )}
      {may('disconnect') && user && (
        <Action
          label="Kick user"
          question={`Kick ${user}?`}
          detail={<p>All sessions of the user end, and every call is refused for a minute.</p>}
          run={async () => ended((await api.call('Kick', { user })).sessions)}
        />
      )}
      {may('revoke') && of.tokenId && (
        <Action
          label="Revoke token"
          question="Revoke this token?"
          detail={<p>Its sessions end at once, and it opens no others.</p>}
          run={async () => ended((await api.call('Revoke', { tokenId: of.tokenId ?? '' })).sessions)}
        />
      )}
    </div>
  );
}
