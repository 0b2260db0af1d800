import { RealtimeError } from './error.ts';
import type { Command, Notice, Numbered } from './wire.ts';

/** What waits for a connection, or for an answer. */
export interface QueueOptions {
  /** Most commands at a time; more are refused. Default 256. */
  readonly max?: number;
  /** How long a command is worth sending, in milliseconds. Default 60 s. */
  readonly ttl?: number;
}

/** Commands whose answers are wanted: kept, in order, until they are answered, through any number of links. */
export interface Requests {
  readonly size: number;
  /** Sends a command as soon as it can be sent, and again on a new link if its answer was lost. */
  ask(command: Command, signal?: AbortSignal): Promise<Notice>;
  /** Gives an answer to who asked. */
  answer(notice: Notice): boolean;
  /** Sends everything that is not answered, oldest first. */
  flush(): void;
}

interface Entry {
  readonly command: Numbered;
  readonly settle: (outcome: Notice | RealtimeError) => void;
}

/** Makes an empty queue. */
export function createRequests(
  options: QueueOptions,
  number: () => number,
  send: (command: Numbered) => boolean,
  changed: () => void,
): Requests {
  const { max = 256, ttl = 60_000 } = options;
  const entries = new Map<number, Entry>();

  return {
    get size() {
      return entries.size;
    },
    ask: (command, signal) =>
      new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(signal.reason);
        if (entries.size >= max) return reject(new RealtimeError({ reason: 'QUEUE_FULL', limit: max }));
        const id = number();
        const done = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', abort);
          entries.delete(id);
          changed();
        };
        const settle = (outcome: Notice | RealtimeError): void => {
          done();
          if (outcome instanceof RealtimeError) reject(outcome);
          else resolve(outcome);
        };
        const abort = (): void => {
          done();
          reject(signal?.reason);
        };
        const timer = setTimeout(() => settle(new RealtimeError({ reason: 'TIMED_OUT' })), ttl);
        signal?.addEventListener('abort', abort);
        const entry = { command: { ...command, id }, settle };
        entries.set(id, entry);
        send(entry.command);
        changed();
      }),
    answer(notice) {
      const entry = notice.id === undefined ? undefined : entries.get(notice.id);
      entry?.settle(notice.type === 'error' ? new RealtimeError(notice) : notice);
      return entry !== undefined;
    },
    flush() {
      for (const entry of [...entries.values()]) send(entry.command);
    },
  };
}
