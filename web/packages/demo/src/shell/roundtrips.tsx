import type { Client } from '@millrace/client';
import { type ReactNode, useEffect, useState } from 'react';
import { Sparkline } from '../parts/metric-card.tsx';
import { currentUserId } from '../visitor.ts';

const every = 1000;
const kept = 60;

/** Times from a publish to its acknowledgement, newest last. */
export function useRoundTrips(client: Client): readonly number[] {
  const [times, setTimes] = useState<readonly number[]>([]);
  useEffect(() => {
    let gone = false;
    const ask = async (): Promise<void> => {
      if (client.getSnapshot().state !== 'connected') return;
      const start = performance.now();
      await client.publish(`ping.${currentUserId}`, null);
      const took = performance.now() - start;
      if (!gone) setTimes((before) => [...before.slice(1 - kept), took]);
    };
    // What is refused or lost has no time.
    const timer = setInterval(() => ask().catch(() => {}), every);
    return () => {
      gone = true;
      clearInterval(timer);
    };
  }, [client]);
  return times;
}

/** The value that a part of all is not above. */
export function quantile(values: readonly number[], part: number): number | undefined {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(Math.floor(part * sorted.length), sorted.length - 1)];
}

export function RoundTrips({ client }: { readonly client: Client }): ReactNode {
  const times = useRoundTrips(client);
  const last = times.at(-1);
  return (
    <div className="roundtrips">
      <small>{last === undefined ? 'round trip' : `round trip ${last.toFixed(1)} ms`}</small>
      <Sparkline values={times} label="Round trips of the last minute" />
    </div>
  );
}
