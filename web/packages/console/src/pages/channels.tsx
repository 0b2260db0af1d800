import type { ChannelJson } from '@millrace/client/gen/millrace/v1/admin_service_pb.ts';
import { bytes, count, short } from '../format.ts';
import { type Column, Field, Pager, Problem, Select, Table, Title } from '../parts.tsx';
import { go, link } from '../route.ts';
import { useConsole, useLoaded, usePages } from '../state.ts';

const size = 50;
const orders = {
  name: 'CHANNEL_ORDER_UNSPECIFIED',
  subscribers: 'CHANNEL_ORDER_SUBSCRIBERS',
  rate: 'CHANNEL_ORDER_RATE',
} as const;
const orderNames = { name: 'by name', subscribers: 'most subscribers first', rate: 'most messages first' };

/** The channels that somebody is subscribed to, a page at a time; any other by its name. */
export function Channels({ query }: { readonly query: URLSearchParams }) {
  const pattern = query.get('pattern') ?? '';
  const order = query.get('order') ?? 'name';
  return (
    <>
      <Title text="Channels" />
      <Forms key={query.toString()} pattern={pattern} order={order} />
      <ChannelList key={`list ${query}`} pattern={pattern} order={order} />
    </>
  );
}

function Forms({ pattern, order }: { readonly pattern: string; readonly order: string }) {
  const apply = (event: SubmitEvent): void => {
    event.preventDefault();
    const data = new FormData(event.currentTarget as HTMLFormElement);
    go(['channels'], Object.fromEntries([...data].map(([name, value]) => [name, String(value).trim()])));
  };
  const open = (event: SubmitEvent): void => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget as HTMLFormElement).get('name')).trim();
    if (name) go(['channels', name]);
  };
  return (
    <div class="row">
      <form class="filters" aria-label="Filter channels" onSubmit={apply}>
        <Field label="Pattern">
          {(id) => <input id={id} name="pattern" defaultValue={pattern} placeholder="chat.>" />}
        </Field>
        <Field label="Order">{(id) => <Select id={id} name="order" initial={order} options={orderNames} />}</Field>
        <button type="submit">Apply</button>
      </form>
      <form class="filters" aria-label="Open a channel" onSubmit={open}>
        <Field label="Channel or pattern">{(id) => <input id={id} name="name" required placeholder="chat.42" />}</Field>
        <button type="submit">Open</button>
      </form>
    </div>
  );
}

function ChannelList({ pattern, order }: { readonly pattern: string; readonly order: string }) {
  const { api } = useConsole();
  const { page, token, turn } = usePages();
  const request = {
    pattern,
    order: orders[order as keyof typeof orders] ?? orders.name,
    pageSize: size,
    pageToken: token,
  };
  const { data, error } = useLoaded(JSON.stringify(request), (signal) => api.call('ListChannels', request, signal));
  return (
    <>
      <Problem text={error} />
      <Table
        caption="Channels and patterns with subscribers"
        columns={columns}
        rows={data?.channels ?? []}
        id={(c) => c.name ?? ''}
        empty={data ? 'Nobody is subscribed to such a channel.' : 'Loading…'}
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

const columns: readonly Column<ChannelJson>[] = [
  { name: 'Channel', cell: (c) => <a href={link(['channels', c.name ?? ''])}>{c.name}</a> },
  {
    name: 'Subscribers',
    isNumber: true,
    cell: (c) => (
      <a
        href={link(['sessions'], { channel: c.name ?? '' })}
        aria-label={`${count(c.subscribers)} subscribers of ${c.name}`}
      >
        {count(c.subscribers)}
      </a>
    ),
  },
  { name: 'Messages/s', isNumber: true, cell: (c) => short(Number(c.messageRate ?? 0)) },
  { name: 'Bytes/s', isNumber: true, cell: (c) => bytes(c.byteRate) },
  { name: 'Head', isNumber: true, cell: (c) => (c.head ? count(c.head.offset) : '') },
  { name: 'Epoch', cell: (c) => <code>{c.head?.epoch}</code> },
];
