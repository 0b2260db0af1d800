import type { Client } from '@millrace/client';
import { type ReactNode, useState } from 'react';
import { api } from '../../visitor.ts';

/** What the server's side can do to the connections of this visitor. */
const faults = {
  cut: ['Cut', 'The connection ends without a word'],
  freeze: ['Half-open', 'Bytes vanish both ways, and nobody is told'],
  slow: ['Slow', 'Each write takes 400 ms'],
  mend: ['Mend', 'Bytes pass again as they should'],
  revoke: ['Revoke the token', 'The session ends; the next token is good'],
  deny: ['Refuse tokens', 'Cut, and no token for ten seconds'],
  'no-websocket': ['Refuse WebSockets', 'Cut, and no WebSocket passes for ten seconds'],
  restart: ['Restart the server', 'It drains, ends, and starts again, for everybody'],
} as const;

type Fault = keyof typeof faults;
const names = Object.keys(faults) as readonly Fault[];

/** Buttons that break things, for real. */
export function Faults({ client }: { readonly client: Client }): ReactNode {
  const [last, setLast] = useState<string>('Break something.');
  const cause = async (fault: Fault): Promise<void> => {
    setLast(`${faults[fault][1]}.`);
    await api('POST', `fault/${fault}`).catch((error) => setLast(String(error)));
  };
  return (
    <fieldset className="choices">
      <legend aria-live="polite">{last}</legend>
      {names.map((fault) => (
        <button key={fault} type="button" data-fault={fault} title={faults[fault][1]} onClick={() => cause(fault)}>
          {faults[fault][0]}
        </button>
      ))}
      <button type="button" onClick={client.disconnect}>
        Disconnect
      </button>
      <button type="button" onClick={client.connect}>
        Connect
      </button>
    </fieldset>
  );
}
