import { RealtimeError } from './error.ts';
import type { Undo } from './listeners.ts';

/** How a loop over what is pushed behaves. */
export interface IterateOptions {
  /** Ends the loop. */
  readonly signal?: AbortSignal;
  /** How far the loop may fall behind before it ends with TOO_SLOW. Default 10,000 values. */
  readonly max?: number;
}

/** Makes a loop of a subscription. Leaving the loop, by whatever way, ends the subscription. */
export async function* iterate<T>(
  subscribe: (push: (value: T) => void) => Undo,
  { signal, max = 10_000 }: IterateOptions = {},
): AsyncGenerator<T, void, undefined> {
  const waiting: T[] = [];
  let wake = (): void => {};
  const undo = subscribe((value) => {
    waiting.push(value);
    wake();
  });
  const stop = (): void => wake();
  signal?.addEventListener('abort', stop);
  try {
    while (!signal?.aborted) {
      if (waiting.length > max) throw new RealtimeError({ reason: 'TOO_SLOW', limit: max });
      const next = waiting.splice(0, 1);
      if (next.length > 0) yield* next;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  } finally {
    undo();
    signal?.removeEventListener('abort', stop);
  }
}
