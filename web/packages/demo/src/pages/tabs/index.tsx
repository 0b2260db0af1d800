import type { ReactNode } from 'react';
import { Example, Intro } from '../../parts/example.tsx';
import { Sessions } from './sessions.tsx';
import sessions from './sessions.tsx?source';
import { Shared } from './shared.tsx';
import shared from './shared.tsx?source';
import { Widgets } from './widgets.tsx';
import widgets from './widgets.tsx?source';

export default function Tabs(): ReactNode {
  return (
    <>
      <Intro title="One connection">
        Browsers allow few connections to one host, and servers pay for each. What is the same for many is had once.
      </Intro>
      <Example id="widgets" title="Many providers" stage={<Widgets />} files={[{ name: 'widgets.tsx', text: widgets }]}>
        However many there are: those of the same address share a connection and, in it, a subscription.
      </Example>
      <Example id="shared" title="Many tabs" stage={<Shared />} files={[{ name: 'shared.tsx', text: shared }]}>
        However many are open, one of them has the connection, on the path <code>/ws/tabs</code>. Close it, and another
        takes over.
      </Example>
      <Example
        id="sessions"
        title="What the server sees"
        stage={<Sessions />}
        files={[{ name: 'sessions.tsx', text: sessions }]}
      >
        The sessions of this visitor, as the server's own API lists them.
      </Example>
    </>
  );
}
