import type { Client, Snapshot } from '@millrace/client';
import { type ReactNode, useEffect, useMemo, useState, useSyncExternalStore } from 'react';
import { Choice } from '../../parts/choice.tsx';
import { RoundTrips } from '../../shell/roundtrips.tsx';
import { createMonitored, pace, type Schedule, type Way, ways } from './client.ts';
import { type Continuity, watchContinuity } from './continuity.ts';
import { Faults } from './faults.tsx';
import { createFrameLog, type FrameLog } from './logged.ts';
import { Timeline } from './timeline.tsx';

/** One connection under a magnifying glass. */
export function Monitor(): ReactNode {
  const [way, setWay] = useState<Way>('WebSocket');
  const [schedule, setSchedule] = useState<Schedule>('fast');
  const log = useMemo(createFrameLog, []);
  const client = useMemo(() => createMonitored(way, schedule, log), [way, schedule, log]);
  useEffect(() => client.retain(), [client]);
  return (
    <div className="stack monitor">
      <div className="row">
        <Choice label="Transport" of={ways} chosen={way} onChoose={setWay} />
        <Choice label="Schedule" of={pace} chosen={schedule} onChoose={setSchedule} />
      </div>
      <State client={client} />
      <Timeline client={client} />
      <Pulse client={client} />
      <Faults client={client} />
      <Frames log={log} />
    </div>
  );
}

function useSnapshot(client: Client): Snapshot {
  return useSyncExternalStore(client.onChange, client.getSnapshot);
}

function State({ client }: { readonly client: Client }): ReactNode {
  const { state, transport, attempt, retryAt, error } = useSnapshot(client);
  return (
    <div className="row state" data-state={state}>
      <b className="pill" data-state={state} data-monitor="state">
        {state}
      </b>
      <span data-monitor="transport">{transport}</span>
      {attempt > 0 && <span>{`attempt ${attempt}`}</span>}
      {retryAt > 0 && <Countdown to={retryAt} />}
      {retryAt > 0 && (
        <button type="button" className="quiet" onClick={client.connect}>
          Retry now
        </button>
      )}
      {error && (
        <small data-monitor="error" title={error.message}>
          {error.reason}
        </small>
      )}
    </div>
  );
}

function Countdown({ to }: { readonly to: number }): ReactNode {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 100);
    return () => clearInterval(timer);
  }, []);
  return <span>{`next in ${(Math.max(to - now, 0) / 1000).toFixed(1)} s`}</span>;
}

const fields = ['received', 'missed', 'doubled', 'gaps'] as const;

/** The server's pulse, numbered: what is missing or doubled is counted. */
function Pulse({ client }: { readonly client: Client }): ReactNode {
  const [now, setNow] = useState<Continuity>();
  useEffect(() => watchContinuity(client, 'demo.pulse', setNow), [client]);
  return (
    <div className="row">
      <dl className="meter">
        {fields.map((field) => (
          <div key={field}>
            <dt>{field}</dt>
            <dd data-pulse={field}>{now?.[field] ?? 0}</dd>
          </div>
        ))}
      </dl>
      <RoundTrips client={client} />
    </div>
  );
}

const clock = new Intl.DateTimeFormat('en', { minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3 });

function Frames({ log }: { readonly log: FrameLog }): ReactNode {
  const entries = useSyncExternalStore(log.onChange, log.get);
  return (
    <ol className="console frames" aria-label="Frames">
      {entries.toReversed().map(({ id, at, out, text }) => (
        <li key={id} className={out ? 'out' : 'in'}>
          <time>{clock.format(at)}</time>
          <span>{text}</span>
        </li>
      ))}
    </ol>
  );
}
