import type { LinkContext, LinkEvents } from '../transport.ts';
import type { Frame, Notice, Numbered } from '../wire.ts';
import { asError, errorOf, type HTTPOptions } from './http.ts';
import { type Call, callOf, errorBody, type ProtoAnswer, subscription } from './proto.ts';

type Subscriptions = LinkContext['subscriptions'];

/** What goes to the server beside a stream that only comes from it. */
export interface Uplink {
  /** Starts, once the session's secret token is known. */
  ready(sessionToken: string): void;
  send(command: Numbered): void;
  /** Ends the link with `abort`; with `leave` once everything is said, the goodbye above all. */
  close(leave: boolean): void;
  /** Gives a notice of the stream the number of the command that it answers, and passes it on. */
  frame(frame: Frame): void;
}

/**
 * Sends commands as calls of `RealtimeService`, one after the other, because their order counts. `abort` ends what is under
 * way, and the stream. A call without an answer means that the link is lost, and everything unanswered is sent again on the next.
 */
export function createUplink(
  base: URL,
  options: HTTPOptions,
  context: LinkContext,
  events: LinkEvents,
  abort: AbortController,
): Uplink {
  const waiting = new Map<string, number>(); // channels with a subscribe command under way
  let session = '';
  let turn: Promise<void> = Promise.resolve();

  async function post({ method, request }: Pick<Call, 'method' | 'request'>): Promise<ProtoAnswer> {
    const response = await fetch(new URL(`millrace.v1.RealtimeService/${method}`, base), {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'millrace-session': session },
      body: JSON.stringify(request),
      credentials: options.credentials ?? 'same-origin',
      // What says goodbye must outlive the page and the link.
      ...(method === 'LeavePresence' ? { keepalive: true } : { signal: abort.signal }),
    });
    if (!response.ok) throw await errorOf(response);
    return await response.json();
  }

  async function subscribe(commands: Subscriptions): Promise<void> {
    for (const { channel, id } of commands) waiting.set(channel, id);
    // A stream may have joined channels by itself, from now on; what is asked for begins where the client was.
    const answer = await post({
      method: 'UpdateSubscription',
      request: {
        remove: commands.map((c) => c.channel),
        add: commands.map(({ id: _, type: __, ...c }) => subscription(c)),
      },
    });
    for (const error of answer.errors ?? []) {
      const body = errorBody(error);
      const id = waiting.get(body.for ?? '');
      waiting.delete(body.for ?? '');
      events.frame({ type: 'error', ...body, id });
    }
  }

  async function run(command: Numbered): Promise<void> {
    const { id, ...rest } = command;
    if (rest.type === 'subscribe') {
      if (id !== undefined) await subscribe([{ ...rest, id }]);
      return;
    }
    const call = callOf(rest);
    const notice = call?.notice(await post(call));
    if (notice) events.frame({ ...notice, id } as Notice);
  }

  /** A refusal is the answer of the command; a session that is gone, or a call without an answer, ends the link. */
  function refuse(cause: unknown, { id, ...command }: Numbered): void {
    const error = asError(cause);
    if (abort.signal.aborted) return;
    if (error.reason === 'CONNECTION_LOST' || error.reason === 'SESSION_NOT_FOUND') {
      events.closed(error);
      return;
    }
    events.frame({ type: 'error', ...error.body, for: 'channel' in command ? command.channel : undefined, id });
  }

  function enqueue(command: Numbered, task: () => Promise<void>): void {
    turn = turn.then(task).catch((cause: unknown) => refuse(cause, command));
  }

  return {
    ready(sessionToken) {
      session = sessionToken;
      events.frame({ type: 'hello', sessionToken });
      events.opened();
      const first = context.subscriptions[0];
      if (first) enqueue(first, () => subscribe(context.subscriptions));
    },
    close(leave) {
      if (leave) void turn.finally(() => abort.abort());
      else abort.abort();
    },
    send: (command) => enqueue(command, () => run(command)),
    frame(frame) {
      const id = 'channel' in frame || frame.type !== 'subscribed' ? undefined : waiting.get(frame.for);
      if (id === undefined) return events.frame(frame);
      waiting.delete((frame as { readonly for: string }).for);
      events.frame({ ...frame, id } as Notice);
    },
  };
}
