import type { SessionJson } from '@millrace/client/gen/millrace/v1/admin_service_pb.ts';
import { bytes, count, duration } from '../format.ts';
import { type Column, Field, Pager, Problem, Select, Table, Title } from '../parts.tsx';
import { go, link } from '../route.ts';
import { useConsole, useLoaded, usePages } from '../state.ts';

const size = 50;
const orders = {
  newest: 'SESSION_ORDER_NEWEST',
  pending: 'SESSION_ORDER_PENDING',
  id: 'SESSION_ORDER_UNSPECIFIED',
} as const;
const orderNames = { newest: 'newest first', pending: 'most pending first', id: 'by id' };
const wires = { '': 'all', ws: 'ws', sse: 'sse', connect: 'connect', grpc: 'grpc', grpcweb: 'grpcweb' };

/** The filters of the list, as the address has them. */
type Filters = Record<'user' | 'channel' | 'address' | 'protocol' | 'order', string>;

/** Who is connected, a page at a time. */
export function Sessions({ query }: { readonly query: URLSearchParams }) {
  const of = (name: string): string => query.get(name) ?? '';
  const filters: Filters = {
    user: of('user'),
    channel: of('channel'),
    address: of('address'),
    protocol: of('protocol'),
    order: of('order'),
  };
  return (
    <>
      <Title text="Sessions" />
      <FilterForm key={query.toString()} filters={filters} />
      <SessionList key={`list ${query}`} filters={filters} />
    </>
  );
}

function FilterForm({ filters }: { readonly filters: Filters }) {
  const apply = (event: SubmitEvent): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    go(['sessions'], Object.fromEntries([...data].map(([name, value]) => [name, String(value).trim()])));
  };
  return (
    <form class="filters" aria-label="Filter sessions" onSubmit={apply}>
      <Field label="User">{(id) => <input id={id} name="user" defaultValue={filters.user} />}</Field>
      <Field label="Channel">{(id) => <input id={id} name="channel" defaultValue={filters.channel} />}</Field>
      <Field label="Address or network">
        {(id) => <input id={id} name="address" defaultValue={filters.address} placeholder="10.0.0.0/8" />}
      </Field>
      <Field label="Wire">
        {(id) => <Select id={id} name="protocol" initial={filters.protocol} options={wires} />}
      </Field>
      <Field label="Order">
        {(id) => <Select id={id} name="order" initial={filters.order || 'newest'} options={orderNames} />}
      </Field>
      <button type="submit">Apply</button>
      <a class="button" href={link(['sessions'])}>
        Clear
      </a>
    </form>
  );
}

function SessionList({ filters }: { readonly filters: Filters }) {
  const { api } = useConsole();
  const { page, token, turn } = usePages();
  const order = orders[filters.order as keyof typeof orders] ?? orders.newest;
  const request = {
    user: filters.user,
    channel: filters.channel,
    address: filters.address,
    protocol: filters.protocol,
    order,
    pageSize: size,
    pageToken: token,
  };
  const { data, error } = useLoaded(JSON.stringify(request), (signal) => api.call('ListSessions', request, signal));
  return (
    <>
      <Problem text={error} />
      <Table
        caption="Live sessions"
        columns={columns}
        rows={data?.sessions ?? []}
        id={(s) => s.id ?? ''}
        empty={data ? 'No session is like that.' : 'Loading…'}
      />
      <Pager
        page={page}
        size={size}
        total={data?.total ?? 0}
        next={data?.nextPageToken}
        onPage={(to) => turn(to, data?.nextPageToken)}
      />
    </>
  );
}

const columns: readonly Column<SessionJson>[] = [
  { name: 'Session', cell: (s) => <a href={link(['sessions', s.id ?? ''])}>{s.id}</a> },
  { name: 'User', cell: (s) => s.user || <i>anonymous</i> },
  { name: 'Wire', cell: (s) => s.protocol },
  { name: 'Address', cell: (s) => s.peer },
  { name: 'Client', cell: (s) => s.client },
  { name: 'Age', isNumber: true, cell: (s) => duration(Date.now() - Date.parse(s.startTime ?? '')) },
  { name: 'Subscriptions', isNumber: true, cell: (s) => count(s.subscriptions) },
  {
    name: 'Pending',
    isNumber: true,
    cell: (s) => (s.slow ? <strong class="bad">{bytes(s.pendingBytes)} · slow</strong> : bytes(s.pendingBytes)),
  },
];
