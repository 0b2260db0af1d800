import { type FormEvent, type ReactNode, useEffect, useRef, useState } from 'react';
import { currentUserId, nameOf } from '../visitor.ts';
import { Avatar } from './avatar.tsx';

/** What is said in a chat room of the document. */
export interface ChatMessage {
  readonly text: string;
  readonly userId: string;
  readonly timestamp: number;
}

const time = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', hour12: false });

/** One thing that was said; `state` is shown to who said it. */
export function Bubble({ text, userId, timestamp, state }: ChatMessage & { readonly state?: string }): ReactNode {
  const own = userId === currentUserId;
  return (
    <li className={own ? 'bubble own' : 'bubble'} data-state={state}>
      {!own && <Avatar user={userId} small />}
      <div>
        <small>
          {!own && <b>{nameOf(userId)}</b>}
          <time dateTime={new Date(timestamp).toISOString()}>{time.format(timestamp)}</time>
          {state && <i>{state}</i>}
        </small>
        <p>{text}</p>
      </div>
    </li>
  );
}

/** A list that stays at its end, unless its reader looks at what is above. */
export function Conversation({ children, label }: { readonly children: ReactNode; readonly label: string }): ReactNode {
  const list = useRef<HTMLUListElement>(null);
  const atEnd = useRef(true);
  useEffect(() => {
    if (atEnd.current) list.current?.scrollTo({ top: list.current.scrollHeight });
  });
  return (
    <ul
      className="conversation"
      aria-label={label}
      ref={list}
      onScroll={({ currentTarget: { scrollTop, clientHeight, scrollHeight } }) => {
        atEnd.current = scrollTop + clientHeight > scrollHeight - 8;
      }}
    >
      {children}
    </ul>
  );
}

export function MessageList({ messages }: { readonly messages: readonly ChatMessage[] }): ReactNode {
  return (
    <Conversation label="Messages">
      {messages.length === 0 && <li className="empty">Nothing was said since you came. Say something.</li>}
      {messages.map((message) => (
        <Bubble key={`${message.userId} ${message.timestamp}`} {...message} />
      ))}
    </Conversation>
  );
}

export function TypingIndicator({ users }: { readonly users: readonly string[] }): ReactNode {
  const others = [...new Set(users)].filter((user) => user !== currentUserId);
  return (
    <p className="typing" aria-live="polite">
      {others.length > 0 && (
        <>
          <span className="dots">
            <i />
            <i />
            <i />
          </span>
          {`${others.map(nameOf).join(', ')} ${others.length > 1 ? 'are' : 'is'} typing`}
        </>
      )}
    </p>
  );
}

interface MessageInputProps {
  readonly onSend: (text: string) => void;
  readonly onTyping?: () => void;
  readonly label?: string;
}

export function MessageInput({ onSend, onTyping, label = 'Write a message' }: MessageInputProps): ReactNode {
  const [text, setText] = useState('');
  const submit = (event: FormEvent): void => {
    event.preventDefault();
    if (!text.trim()) return;
    onSend(text.trim());
    setText('');
  };
  return (
    <form className="compose" onSubmit={submit}>
      <input
        aria-label={label}
        placeholder={label}
        value={text}
        onChange={(event) => {
          setText(event.target.value);
          onTyping?.();
        }}
      />
      <button type="submit">Send</button>
    </form>
  );
}
