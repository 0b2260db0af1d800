import type { ReactNode } from 'react';
import { ChatInput } from '../../document/chat-input.jsx';
import chatInput from '../../document/chat-input.jsx?source';
import { ChatRoom } from '../../document/chat-room.jsx';
import chatRoom from '../../document/chat-room.jsx?source';
import directMessage from '../../document/direct-message.jsx?source';
import { Example, Intro } from '../../parts/example.tsx';
import parts from '../../parts/messages.tsx?source';
import { Inbox } from './inbox.tsx';
import inbox from './inbox.tsx?source';
import { Room } from './room.tsx';
import room from './room.tsx?source';
import { Said } from './said.tsx';
import said from './said.tsx?source';

export default function Chat(): ReactNode {
  return (
    <>
      <Intro title="Chat">
        Put two windows side by side: each is a visitor of its own. Pull the plug, go on writing, plug in again. What
        was written arrives once, and in order.
      </Intro>
      <Example id="room" title="A room" stage={<Room name="chat.lobby" />} files={[{ name: 'room.tsx', text: room }]}>
        History, who is here, who types, and messages that wait in the page until the server has acknowledged them.
      </Example>
      <Example
        id="chat-room"
        title="The same room"
        documented
        stage={<ChatRoom roomId="lobby" />}
        files={[
          { name: 'chat-room.jsx', text: chatRoom },
          { name: 'messages.tsx', text: parts },
        ]}
      >
        It speaks the same messages in the same channel, so both rooms see each other.
      </Example>
      <Example
        id="direct"
        title="One to one"
        documented
        stage={<Inbox />}
        files={[
          { name: 'direct-message.jsx', text: directMessage },
          { name: 'inbox.tsx', text: inbox },
        ]}
      >
        Everybody may write into an inbox; only its owner reads it all, and others what they wrote themselves. That is
        one rule of the server.
      </Example>
      <Example
        id="chat-input"
        title="A form"
        documented
        stage={
          <div className="stack">
            <ChatInput />
            <Said />
          </div>
        }
        files={[
          { name: 'chat-input.jsx', text: chatInput },
          { name: 'said.tsx', text: said },
        ]}
      >
        It sends while there is a connection. The sender hears himself, as everybody does.
      </Example>
    </>
  );
}
