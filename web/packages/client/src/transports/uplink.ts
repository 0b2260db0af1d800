import { RealtimeError } from '../error.ts';
import type { LinkContext, LinkEvents } from '../transport.ts';
import type { Frame, Notice, Numbered } from '../wire.ts';
import { asError, errorOf } from './http.ts';

/** What the stream says when it is open. */
export type Hello = Omit<Extract<Notice, { type: 'hello' }>, 'type'>;

/** What goes to the server beside a stream that only comes from it. */
export interface Uplink {
  /** Starts, once the session is known. */
  ready(hello: Hello): void;
  send(...commands: readonly Numbered[]): void;
  /** Ends the link with `abort`; with `leave` once everything is said, the goodbye above all. */
  close(leave: boolean): void;
}

/** How much is sent together: far below what the server reads. */
const batchLength = 256 * 1024;

/**
 * Posts commands, as frames of the plain wire, one batch after the other, because their order counts. `abort` ends what is under
 * way, and the stream. A batch without an answer means that the link is lost, and everything unanswered is sent again on the next.
 */
export function createUplink(
  api: URL,
  credentials: RequestCredentials,
  context: LinkContext,
  events: LinkEvents,
  abort: AbortController,
): Uplink {
  const waiting: string[] = [];
  let session = '';
  let turn: Promise<void> = Promise.resolve();

  async function post(): Promise<void> {
    let batch = waiting.shift();
    if (!batch) return;
    while (waiting[0] && batch.length + waiting[0].length < batchLength) batch += `,${waiting.shift()}`;
    const response = await fetch(api, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'millrace-session': session },
      body: `[${batch}]`,
      credentials,
      // A goodbye must outlive the page and the link.
      ...(batch.includes('"leave"') ? { keepalive: true } : { signal: abort.signal }),
    });
    if (!response.ok) throw await errorOf(response);
    for (const frame of (await response.json()) as readonly Frame[]) {
      if ('reason' in frame && frame.reason === 'SESSION_NOT_FOUND') throw new RealtimeError(frame);
      events.frame(frame);
    }
    await post();
  }

  function send(...commands: readonly Numbered[]): void {
    for (const command of commands) {
      if (command.type === 'ping') continue; // an answer would prove nothing of the stream
      waiting.push(JSON.stringify(command));
    }
    turn = turn.then(post).catch((cause: unknown) => {
      if (!abort.signal.aborted) events.closed(asError(cause));
    });
  }

  return {
    ready(hello) {
      session = hello.sessionToken ?? '';
      send(...context.subscriptions); // what waits comes after
      events.frame({ ...hello, type: 'hello' });
      events.opened();
    },
    send,
    close(leave) {
      if (leave) void turn.finally(() => abort.abort());
      else abort.abort();
    },
  };
}
