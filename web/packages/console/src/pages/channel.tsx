import type { Channel } from '@millrace/client';
import type { GetChannelResponseJson } from '@millrace/client/gen/millrace/v1/admin_service_pb.ts';
import type { ComponentChildren } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { bytes, count, duration, short } from '../format.ts';
import { Facts, Field, Problem, Select, Title } from '../parts.tsx';
import { link } from '../route.ts';
import { explain, useConsole, useLoaded } from '../state.ts';
import { Tail } from './tail.tsx';

const earlier = 20; // messages of before that are shown

/** One channel, or the channels of a pattern: what it is, its messages as they come, who is there. */
export function ChannelPage({ name }: { readonly name: string }) {
  const { api, client } = useConsole();
  const { data, error } = useLoaded(name, (signal) => api.call('GetChannel', { channel: name }, signal));
  useEffect(() => client.retain(), [client]);
  const isPattern = /[*>]/.test(name);
  const channel = client.channel(name, isPattern ? {} : { recent: earlier });
  return (
    <>
      <Title text={`${isPattern ? 'Pattern' : 'Channel'} ${name}`} />
      <Problem text={error} />
      {data && <Details of={data} isPattern={isPattern} />}
      <div class="halves">
        <Tail channel={channel} isPattern={isPattern} />
        {!isPattern && (
          <div>
            <Publish name={name} />
            <Members of={channel} />
          </div>
        )}
      </div>
    </>
  );
}

function Details({ of, isPattern }: { readonly of: GetChannelResponseJson; readonly isPattern: boolean }) {
  const c = of.channel ?? {};
  const head = Number(c.head?.offset ?? 0);
  const kept = of.oldest ? head - Number(of.oldest.offset ?? 0) + 1 : 0;
  const age = of.historyAge ? ` for ${duration(Number.parseFloat(of.historyAge) * 1000)}` : '';
  const log: readonly (readonly [string, ComponentChildren])[] = [
    [
      'Head',
      c.head && (
        <span key="head">
          {count(head)} <code>{c.head.epoch}</code>
        </span>
      ),
    ],
    ['Kept', `${count(kept)} messages`],
    [
      'Rule',
      <span key="rule">
        <code>{of.rule}</code> keeps {of.historyMessages ? `${count(of.historyMessages)} messages${age}` : 'nothing'}
      </span>,
    ],
  ];
  return (
    <Facts
      of={[
        [
          'Subscribers',
          <a key="subscribers" href={link(['sessions'], { channel: c.name ?? '' })}>
            {count(c.subscribers)}
          </a>,
        ],
        ['Messages', `${short(Number(c.messageRate ?? 0))}/s · ${bytes(c.byteRate)}/s`],
        ...(isPattern ? [] : log),
      ]}
    />
  );
}

function Publish({ name }: { readonly name: string }) {
  const { client, notify } = useConsole();
  const [problem, setProblem] = useState('');
  const publish = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget as HTMLFormElement);
    const text = (field: string): string => String(fields.get(field) ?? '');
    setProblem('');
    try {
      const data: unknown = text('form') === 'text' ? text('data') : JSON.parse(text('data'));
      const ack = await client.publish(name, data, {
        ...(text('type') && { messageType: text('type') }),
        ...(text('key') && { key: text('key') }),
      });
      notify(`Published to ${name} at ${ack.position?.offset ?? 'no position'}.`);
    } catch (error) {
      setProblem(error instanceof SyntaxError ? `This is not JSON: ${error.message}` : explain(error));
    }
  };
  return (
    <section>
      <h2>Publish</h2>
      <form class="publish" aria-label="Publish" onSubmit={publish}>
        <Field label="Data">
          {(id) => <textarea id={id} name="data" rows={4} spellcheck={false} defaultValue={'{"text":"hello"}'} />}
        </Field>
        <div class="row">
          <Field label="As">
            {(id) => <Select id={id} name="form" initial="json" options={{ json: 'JSON', text: 'a text' }} />}
          </Field>
          <Field label="Type">{(id) => <input id={id} name="type" placeholder="optional" />}</Field>
          <Field label="Key">{(id) => <input id={id} name="key" placeholder="optional" />}</Field>
          <button type="submit">Publish</button>
        </div>
        <Problem text={problem} />
      </form>
    </section>
  );
}

const shown = 200;

function Members({ of: { presence } }: { readonly of: Channel }) {
  const [{ members, total }, setSnapshot] = useState(presence.getSnapshot());
  useEffect(() => {
    const show = (): void => setSnapshot(presence.getSnapshot());
    show(); // what changed between the first render and this
    return presence.onChange(show);
  }, [presence]);
  return (
    <section>
      <h2>
        Present <span class="badge">{count(total)}</span>
      </h2>
      {members.length === 0 && <p>{total > 0 ? 'There are too many to list.' : 'Nobody.'}</p>}
      <ul class="members">
        {members.slice(0, shown).map((member) => (
          <li key={member.user}>
            <a href={link(['sessions'], { user: member.user })}>{member.user}</a>
            <span>
              {member.sessions > 1 && `${member.sessions} sessions · `}since{' '}
              {new Date(member.since).toLocaleTimeString('en-GB')}
            </span>
            {member.data !== undefined && member.data !== null && <code>{JSON.stringify(member.data)}</code>}
          </li>
        ))}
      </ul>
      {members.length > shown && <p>and {count(members.length - shown)} more.</p>}
    </section>
  );
}
