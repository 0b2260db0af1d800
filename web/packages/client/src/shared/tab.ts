import { RealtimeError } from '../error.ts';
import type { Link, LinkContext, LinkEvents } from '../transport.ts';
import type { ToHub, ToTab } from './messages.ts';

/** The side of a tab. */
export interface Tab {
  open(context: LinkContext, events: LinkEvents): Link;
  receive(message: ToTab): void;
  /** Another hub has taken over, which knows nothing of this tab. */
  lost(): void;
}

/** Makes the side of a tab. It has at most one link at a time. */
export function createTab(post: (message: ToHub) => void): Tab {
  let current: { readonly context: LinkContext; readonly events: LinkEvents; opened: boolean } | undefined;
  function receive(message: ToTab): void {
    if (!current) return;
    const { events } = current;
    if ('frame' in message) events.frame(message.frame);
    else if ('alive' in message) events.alive();
    else if ('opened' in message) {
      current.opened = true;
      events.opened();
    } else if ('closed' in message) {
      current = undefined;
      events.closed(new RealtimeError(message.closed));
    }
  }
  return {
    receive,
    open(context, events) {
      const mine = { context, events, opened: false };
      current = mine;
      post({ open: context });
      return {
        buffered: 0,
        send: (command) => post({ send: command }),
        close(leave) {
          if (current !== mine) return;
          current = undefined;
          post({ close: leave });
        },
      };
    },
    lost() {
      if (current?.opened)
        receive({ closed: { reason: 'CONNECTION_LOST', message: 'another tab has taken over', retryAfter: 0 } });
      else if (current) post({ open: current.context });
    },
  };
}
