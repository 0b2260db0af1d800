import type { ReactNode } from 'react';
import { ConnectionMonitor } from '../../document/connection-monitor.jsx';
import connectionMonitor from '../../document/connection-monitor.jsx?source';
import { debugMode } from '../../document/debug-mode.jsx';
import debugModeSource from '../../document/debug-mode.jsx?source';
import { LiveComponent } from '../../document/live-component.jsx';
import liveComponent from '../../document/live-component.jsx?source';
import websocketClient from '../../document/websocket-client.js?source';
import { Example, Intro } from '../../parts/example.tsx';
import { Plug } from '../chat/plug.tsx';
import client from './client.ts?source';
import continuity from './continuity.ts?source';
import { Devtools } from './devtools.tsx';
import devtools from './devtools.tsx?source';
import faults from './faults.tsx?source';
import logged from './logged.ts?source';
import { Monitor } from './monitor.tsx';
import monitor from './monitor.tsx?source';
import { Own } from './own.tsx';
import own from './own.tsx?source';
import { Schedule } from './schedule.tsx';
import schedule from './schedule.tsx?source';
import { Script } from './script.tsx';

export default function Connection(): ReactNode {
  return (
    <>
      <Intro title="Connection">
        The buttons break the network below the server, which knows nothing of it. The pulse has a number in each
        message: missed and doubled stay at zero.
      </Intro>
      <Example
        id="monitor"
        title="Monitor"
        stage={<Monitor />}
        files={[
          { name: 'client.ts', text: client },
          { name: 'continuity.ts', text: continuity },
          { name: 'logged.ts', text: logged },
          { name: 'faults.tsx', text: faults },
          { name: 'monitor.tsx', text: monitor },
        ]}
      >
        Choose how to reach the server, then take it away.
      </Example>
      <Example
        id="connection-monitor"
        title="What to tell the user"
        documented
        stage={
          <Own pool="alert">
            <div className="stack">
              <Plug />
              <ConnectionMonitor />
            </div>
          </Own>
        }
        files={[
          { name: 'connection-monitor.jsx', text: connectionMonitor },
          { name: 'own.tsx', text: own },
        ]}
      >
        Nothing, while all is well.
      </Example>
      <Example
        id="live-component"
        title="Insisting on a connection"
        documented
        stage={
          <Own pool="insists">
            <div className="stack">
              <Plug />
              <LiveComponent />
            </div>
          </Own>
        }
        files={[{ name: 'live-component.jsx', text: liveComponent }]}
      >
        It calls connect whenever it is not connected, in every state. There is never a second connection.
      </Example>
      <Example
        id="script"
        title="Without React"
        documented
        stage={<Script />}
        files={[{ name: 'websocket-client.js', text: websocketClient }]}
      >
        A client of its own, and what it writes to the console.
      </Example>
      <Example
        id="schedule"
        title="When it comes back"
        stage={<Schedule />}
        files={[{ name: 'schedule.tsx', text: schedule }]}
      >
        The document's delays, with up to a second more; at the cap with up to a fifth less, so that nobody comes with
        everybody else. It never gives up.
      </Example>
      <Example id="devtools" title="Devtools" stage={<Devtools />} files={[{ name: 'devtools.tsx', text: devtools }]}>
        A panel for any client, with faults that are made below it.
      </Example>
      <Example
        id="debug"
        title="Debug mode"
        documented
        stage={debugMode}
        files={[{ name: 'debug-mode.jsx', text: debugModeSource }]}
      >
        Open the browser's console: states, messages and errors are there.
      </Example>
    </>
  );
}
