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
  readonly settle: (answer: Notice | undefined, error?: unknown) => void;
}

/** Makes an empty queue. */
export function createRequests(
  options: QueueOptions,
  number: () => number,
  send: (command: Numbered) => boolean,
  changed: () => void,
): Requests {
  const { max = 256, ttl = 60_000 } = options;
  const entries = new Map<number | undefined, Entry>();
  let paced = false; // the server has had too much: one at a time, oldest first
  let pause: ReturnType<typeof setTimeout> | undefined;

  function goOn(): void {
    pause = undefined;
    const [oldest] = entries.values();
    if (oldest) send(oldest.command);
    else paced = false;
  }

  return {
    get size() {
      return entries.size;
    },
    ask: (command, signal) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        if (entries.size >= max) throw new RealtimeError({ reason: 'QUEUE_FULL', limit: max });
        const id = number();
        const settle: Entry['settle'] = (answer, error) => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', abort);
          entries.delete(id);
          changed();
          if (answer) resolve(answer);
          else reject(error);
        };
        const abort = (): void => settle(undefined, signal?.reason);
        const timer = setTimeout(() => settle(undefined, new RealtimeError({ reason: 'TIMED_OUT' })), ttl);
        signal?.addEventListener('abort', abort);
        const entry = { command: { ...command, id }, settle };
        entries.set(id, entry);
        if (!paced) send(entry.command);
        changed();
      }),
    answer(notice) {
      const entry = entries.get(notice.id);
      if (!entry) return false;
      if (notice.type !== 'error') entry.settle(notice);
      else if (notice.reason !== 'RATE_LIMITED') entry.settle(undefined, new RealtimeError(notice));
      else {
        paced = true;
        clearTimeout(pause);
        pause = setTimeout(goOn, notice.retryAfter);
      }
      if (paced && !pause) goOn();
      return true;
    },
    flush() {
      clearTimeout(pause);
      paced = false;
      for (const entry of [...entries.values()]) send(entry.command);
    },
  };
}
