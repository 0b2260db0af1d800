import type { Query, QueryClient, QueryKey } from '@tanstack/react-query';
import type { Client } from '../client.ts';
import { oncePerFrame } from '../frames.ts';
import type { Message } from '../message.ts';
import type { Position } from '../wire.ts';

/** What a query is that follows a channel. */
export interface ChannelQuery<T, M> {
  readonly queryKey: QueryKey;
  readonly channel: string;
  /**
   * Loads what the messages change. With a `position`, that of the channel when it was read, each later message is applied, once. Without,
   * a message that was published meanwhile may be in the data already: `reduce` must then bear to see it again.
   */
  fetch(context: { readonly signal: AbortSignal }): Promise<{ readonly data: T; readonly position?: Position }>;
  /** Applies a message. It must not change `data` itself. */
  reduce(data: T, message: Message<M>): T;
}

/** A change that is shown before the server has confirmed it. */
interface Guess<T> {
  readonly messageId: string;
  readonly apply: (data: T) => T;
  acknowledged: boolean;
}

/** The stream behind a query. */
export interface Follow<T = unknown> {
  load(signal: AbortSignal): Promise<T>;
  /** Shows a change until the message with the id comes. */
  guess(messageId: string, apply: (data: T) => T): { confirmed(): void; undo(): void };
}

const follows = new WeakMap<Query, Follow>();

/** The stream behind a query that is cached, if it follows a channel. */
export function followOf(queryClient: QueryClient, queryKey: QueryKey): Follow | undefined {
  const query = queryClient.getQueryCache().find({ queryKey, exact: true });
  return query && follows.get(query);
}

/** The stream behind a query: the one it has, or a new one that ends when the query leaves the cache. */
export function followFor<T, M>(client: Client, queryClient: QueryClient, options: ChannelQuery<T, M>): Follow<T> {
  const cache = queryClient.getQueryCache();
  const query = cache.find({ queryKey: options.queryKey, exact: true });
  const there = query && follows.get(query);
  if (there) return there as Follow<T>;
  const { end, ...follow } = createFollow(client, queryClient, options);
  if (query) follows.set(query, follow as unknown as Follow);
  const undo = cache.subscribe((event) => {
    if (event.type !== 'removed' || event.query !== query) return;
    undo();
    end();
  });
  return follow;
}

function createFollow<T, M>(
  client: Client,
  queryClient: QueryClient,
  { queryKey, channel: name, fetch, reduce }: ChannelQuery<T, M>,
): Follow<T> & { end(): void } {
  const channel = client.channel(name);
  let base: { readonly data: T; readonly position: Position | undefined } | undefined; // as the server has it
  let guesses: readonly Guess<T>[] = [];
  let kept: Message<M>[] | undefined; // what came since the load that is under way began

  const shown = (data: T): T => guesses.reduce((sum, guess) => guess.apply(sum), data);
  const show = oncePerFrame(() => {
    if (base) queryClient.setQueryData(queryKey, shown(base.data));
  });

  function take(message: Message<M>): void {
    guesses = guesses.filter((guess) => guess.messageId !== message.messageId);
    if (!base || !isAfter(message.position, base.position)) return;
    base = { data: reduce(base.data, message), position: message.position ?? base.position };
  }

  const undo = [
    channel.subscribe((_, message) => {
      kept?.push(message as Message<M>);
      take(message as Message<M>);
      show();
    }),
    channel.onGap(() => void queryClient.invalidateQueries({ queryKey, exact: true })),
  ];

  /** What was published between the data and the subscription. */
  async function missed(since: Position, signal: AbortSignal): Promise<readonly Message<M>[]> {
    const messages: Message<M>[] = [];
    for (let page: string | undefined, more = true; more; more = page !== undefined) {
      const read = await channel.history({ since, limit: 1000, signal, ...(page !== undefined && { page }) });
      messages.push(...(read.messages as readonly Message<M>[]));
      page = read.next;
    }
    return messages;
  }

  return {
    async load(signal) {
      kept = [];
      // The answer comes after that of the subscription: what is published from here on is kept.
      const here = (await client.positions([name], signal)).positions[name];
      const { data, position = here } = await fetch({ signal });
      const late = position && isAfter(here, position) ? await missed(position, signal) : [];
      const messages = [...late, ...kept];
      base = { data, position };
      guesses = guesses.filter((guess) => !guess.acknowledged);
      kept = undefined;
      for (const message of messages) take(message);
      return shown(base.data);
    },
    guess(messageId, apply) {
      const guess = { messageId, apply, acknowledged: false };
      guesses = [...guesses, guess];
      show();
      return {
        confirmed() {
          guess.acknowledged = true;
        },
        undo() {
          guesses = guesses.filter((other) => other !== guess);
          show();
        },
      };
    },
    end() {
      for (const each of undo) each();
    },
  };
}

/** Whether a place is later than another. What has no place, or one of another epoch, cannot be compared, and counts as later. */
function isAfter(place: Position | undefined, than: Position | undefined): boolean {
  return !place || !than || place.epoch !== than.epoch || place.offset > than.offset;
}
