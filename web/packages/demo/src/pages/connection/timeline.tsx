import type { Client, ConnectionState } from '@millrace/client';
import { type ReactNode, useEffect, useState } from 'react';

interface Stretch {
  readonly state: ConnectionState;
  readonly from: number;
}

/** How far the line looks back, in milliseconds. */
const span = 60_000;

/** What the connection did in the last minute. */
export function Timeline({ client }: { readonly client: Client }): ReactNode {
  const [stretches, setStretches] = useState<readonly Stretch[]>([]);
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const note = (): void => {
      const { state } = client.getSnapshot();
      setStretches((before) =>
        before.at(-1)?.state === state ? before : [...before.slice(-99), { state, from: Date.now() }],
      );
    };
    note();
    const timer = setInterval(() => setNow(Date.now()), 250);
    const undo = client.onChange(note);
    return () => {
      clearInterval(timer);
      undo();
    };
  }, [client]);

  const since = now - span;
  const place = (time: number): number => (100 * Math.max(time - since, 0)) / span;
  return (
    <div>
      <svg
        className="timeline"
        viewBox="0 0 100 10"
        preserveAspectRatio="none"
        role="img"
        aria-label="States of the last minute"
      >
        {stretches.map(({ state, from }, i) => {
          const end = place(stretches[i + 1]?.from ?? now);
          return end > 0 ? (
            <rect key={from} data-state={state} x={place(from)} width={Math.max(end - place(from), 0.4)} height="10" />
          ) : null;
        })}
      </svg>
      <p className="legend" data-states={stretches.map(({ state }) => state).join(' ')}>
        {(['connecting', 'connected', 'reconnecting', 'disconnected', 'error'] as const).map((state) => (
          <span key={state} data-state={state}>
            {state}
          </span>
        ))}
      </p>
    </div>
  );
}
