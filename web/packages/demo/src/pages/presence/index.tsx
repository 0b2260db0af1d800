import type { ReactNode } from 'react';
import { OnlineUsers } from '../../document/online-users.jsx';
import onlineUsers from '../../document/online-users.jsx?source';
import { Example, Intro } from '../../parts/example.tsx';
import { Lobby } from './lobby.tsx';
import lobby from './lobby.tsx?source';
import { Who } from './who.tsx';
import who from './who.tsx?source';

export default function Presence(): ReactNode {
  return (
    <>
      <Intro title="Presence">
        Open this page in a second window, close it, reload it. Who closes a tab is gone in five seconds; who reloads
        was never away.
      </Intro>
      <Example id="who" title="Who is here" stage={<Who />} files={[{ name: 'who.tsx', text: who }]}>
        The server derives it from live sessions: nobody has to say that he leaves, and nothing is left after a crash.
      </Example>
      <Example id="lobby" title="The lobby" stage={<Lobby />} files={[{ name: 'lobby.tsx', text: lobby }]}>
        The messages that existing clients expect, sent by the server itself: a list to who comes, a line to the others.
      </Example>
      <Example
        id="online-users"
        title="Announced by the clients"
        documented
        stage={<OnlineUsers />}
        files={[{ name: 'online-users.jsx', text: onlineUsers }]}
      >
        Here each client tells of itself. It is delivered in order from the first render on; but a newcomer does not
        hear who was there before, which is what the two above are for.
      </Example>
    </>
  );
}
