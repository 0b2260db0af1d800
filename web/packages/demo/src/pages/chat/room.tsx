import { useMessages, usePresence, useRealtimeContext, useTyping } from '@millrace/client/react';
import { type ReactNode, useState } from 'react';
import { Avatar } from '../../parts/avatar.tsx';
import { Bubble, type ChatMessage, Conversation, MessageInput, TypingIndicator } from '../../parts/messages.tsx';
import { currentUserId } from '../../visitor.ts';
import { Plug } from './plug.tsx';

type Event = { type: 'message'; data: ChatMessage } | { type: 'typing'; userId: string };

/** A room that shows what is on its way, and sends it when it can: once, in order. */
export function Room({ name }: { readonly name: string }): ReactNode {
  const { isConnected } = useRealtimeContext();
  const { messages, publish } = useMessages<Event>(name, { subscription: { recent: 50 } });
  const { members } = usePresence(name, {});
  const { typing, onInput } = useTyping(name, currentUserId);
  const [outbox, setOutbox] = useState<readonly { id: string; data: ChatMessage }[]>([]);

  const say = async (text: string): Promise<void> => {
    const data = { text, userId: currentUserId, timestamp: Date.now() };
    const line = { id: `${currentUserId}-${data.timestamp}-${Math.random()}`, data };
    setOutbox((lines) => [...lines, line]);
    await publish({ type: 'message', data }, { messageId: line.id });
    setOutbox((lines) => lines.filter((other) => other !== line));
  };

  const arrived = new Set(messages.map((message) => message.messageId));
  return (
    <div className="chat">
      <header>
        <span className="faces">
          {members.map(({ user }) => (
            <Avatar key={user} user={user} small />
          ))}
        </span>
        <Plug />
      </header>
      <Conversation label="Room">
        {messages.length + outbox.length === 0 && <li className="empty">Nothing was said yet. Say something.</li>}
        {messages.map(({ data, position }) =>
          data.type === 'message' ? <Bubble key={position?.offset} {...data.data} state={own(data.data, '✓')} /> : null,
        )}
        {outbox
          .filter(({ id }) => !arrived.has(id))
          .map(({ id, data }) => (
            <Bubble key={id} {...data} state={isConnected ? 'sending' : 'waits for a connection'} />
          ))}
      </Conversation>
      <TypingIndicator users={typing} />
      <MessageInput onSend={say} onTyping={onInput} label="Say something to everybody" />
    </div>
  );
}

function own({ userId }: ChatMessage, state: string): string {
  return userId === currentUserId ? state : '';
}
