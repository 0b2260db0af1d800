import { backoff, RealtimeError } from '@millrace/client';
import { type ReactNode, useState } from 'react';

/** What the document says, in seconds. */
const documented = [3, 4.5, 6.75, 10.125, 15.188, 22.781, 30, 30];
const lost = new RealtimeError({ reason: 'CONNECTION_LOST' });

/** The delays of the default policy, drawn once more at each click. */
export function Schedule(): ReactNode {
  const draw = (): readonly number[] => documented.map((_, attempt) => (backoff()(attempt, lost) ?? 0) / 1000);
  const [delays, setDelays] = useState(draw);
  return (
    <div className="stack">
      <table className="rows">
        <thead>
          <tr>
            <th>Attempt</th>
            <th>Documented</th>
            <th>This time</th>
          </tr>
        </thead>
        <tbody>
          {documented.map((seconds, i) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: the attempt is its number
            <tr key={i}>
              <th scope="row">{i + 1}</th>
              <td>{`${seconds} s`}</td>
              <td data-delay={seconds}>{`${delays[i]?.toFixed(2)} s`}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="row">
        <button type="button" className="quiet" onClick={() => setDelays(draw())}>
          Draw again
        </button>
      </p>
    </div>
  );
}
