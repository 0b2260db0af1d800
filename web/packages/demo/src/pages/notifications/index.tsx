import type { ReactNode } from 'react';
import notificationCenter from '../../document/notification-center.jsx?source';
import sseClient from '../../document/sse-client.js?source';
import { Example, Intro } from '../../parts/example.tsx';
import parts from '../../parts/notifications.tsx?source';
import { api } from '../../visitor.ts';
import { Centre } from './centre.tsx';
import centre from './centre.tsx?source';
import { PlainEvents } from './plain.tsx';
import plain from './plain.tsx?source';
import { Stream } from './stream.tsx';

export default function Notifications(): ReactNode {
  return (
    <>
      <Intro title="Notifications">
        Server-Sent Events: plain HTTP, one way, and yet the same messages in the same order. Cut the connections
        between two notifications: each is shown once.
      </Intro>
      <p className="row">
        <button type="button" onClick={() => api('POST', 'notify')}>
          Notify everybody
        </button>
        <button type="button" className="quiet" onClick={() => api('POST', 'fault/cut')}>
          Cut my connections
        </button>
      </p>
      <Example
        id="centre"
        title="A notification centre"
        documented
        stage={<Centre />}
        files={[
          { name: 'notification-center.jsx', text: notificationCenter },
          { name: 'centre.tsx', text: centre },
          { name: 'notifications.tsx', text: parts },
        ]}
      >
        Newest first, one toast each, however often the connection is lost.
      </Example>
      <Example
        id="stream"
        title="A client of events"
        documented
        stage={<Stream />}
        files={[{ name: 'sse-client.js', text: sseClient }]}
      >
        It connects when somebody listens, and listens to the channels of the events' names.
      </Example>
      <Example
        id="plain"
        title="Without any library"
        stage={<PlainEvents />}
        files={[{ name: 'plain.tsx', text: plain }]}
      >
        An EventSource remembers one id. The server's ids are a place in every channel of the stream at once.
      </Example>
    </>
  );
}
