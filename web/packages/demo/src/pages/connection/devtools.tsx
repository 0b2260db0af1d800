import { createClient, fastBackoff, websocket } from '@millrace/client';
import { createDevtools, RealtimeDevtools } from '@millrace/client/devtools';
import { type ReactNode, useEffect } from 'react';
import { tokenFor } from '../../visitor.ts';

const devtools = createDevtools();
const client = createClient({
  transports: devtools.wrap([websocket('/ws')]),
  token: tokenFor,
  reconnect: fastBackoff({ max: 3000 }),
});

/** Only for developers: an application that does not render the panel does not load it. */
export function Devtools(): ReactNode {
  useEffect(() => client.retain(), []);
  useEffect(() => client.subscribe('metrics', () => {}), []);
  return (
    <>
      <p>The button in the corner opens the panel: each frame, the states of the last minute, and what to break.</p>
      <RealtimeDevtools devtools={devtools} client={client} />
    </>
  );
}
