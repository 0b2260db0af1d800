import { useChannel, useChannelState, useRealtimeClient } from '@millrace/client/react';
import { type CSSProperties, type ReactNode, useRef } from 'react';
import { colorOf, currentUserId, nameOf } from '../../visitor.ts';
import { Meter } from './meter.tsx';

interface Cursor {
  readonly id: string;
  readonly x: number;
  readonly y: number;
}

const none: Readonly<Record<string, Cursor>> = {};

/** Cursors of bots and visitors. Each is an ephemeral message, and however many come, one frame shows them. */
export function Board(): ReactNode {
  const client = useRealtimeClient();
  const cursors = useChannelState<typeof none, Cursor>('board.cursors', (all, c) => ({ ...all, [c.id]: c }), none);
  const came = useRef(0);
  const shown = useRef(0);
  useChannel('board.cursors', () => {
    came.current++;
  });
  shown.current++;

  const last = useRef(0);
  const move = (event: React.PointerEvent<HTMLElement>): void => {
    if (event.timeStamp - last.current < 33) return;
    last.current = event.timeStamp;
    const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
    const place = { id: currentUserId, x: (event.clientX - left) / width, y: (event.clientY - top) / height };
    client.publish('board.cursors', place, { ephemeral: true, key: currentUserId }).catch(() => {});
  };

  return (
    <div className="board-with-meter">
      <div className="board" onPointerMove={move}>
        {Object.values(cursors).map(({ id, x, y }) => (
          <span
            key={id}
            className="cursor"
            data-cursor={id}
            style={{ '--x': x, '--y': y, '--user': colorOf(id) } as CSSProperties}
          >
            <svg viewBox="0 0 16 16" aria-hidden="true">
              <path d="M2 1.500 13.500 7 8 8.500 6 14z" />
            </svg>
            <b>{nameOf(id)}</b>
          </span>
        ))}
      </div>
      <Meter came={came} shown={shown} />
    </div>
  );
}
