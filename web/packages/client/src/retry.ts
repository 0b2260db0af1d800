import type { RealtimeError } from './error.ts';

/**
 * Decides when to try again: milliseconds after failure number `attempt` (from 0), or `undefined` to give up. A time that
 * the server gives comes first and does not ask the policy.
 */
export type ReconnectPolicy = (attempt: number, error: RealtimeError) => number | undefined;

/** Numbers of a policy. */
export interface BackoffOptions {
  /** First delay in milliseconds. */
  readonly initial?: number;
  /** What each delay is multiplied by for the next. */
  readonly factor?: number;
  /** Longest delay in milliseconds. */
  readonly max?: number;
  /** How often to try. Default: without end. */
  readonly attempts?: number;
}

/**
 * The default: 3 s, 4.5 s, 6.75 s … up to 30 s, each with up to a second more. At the cap the jitter goes down from it, over a
 * fifth, so that clients do not all come at the 30th second.
 */
export function backoff(options: BackoffOptions = {}): ReconnectPolicy {
  const { initial = 3000, factor = 1.5, max = 30_000, attempts = Number.POSITIVE_INFINITY } = options;
  return (attempt) => {
    const jitter = Math.random();
    return attempt < attempts
      ? Math.min(initial * factor ** attempt + 1000 * jitter, max * (1 - jitter / 5))
      : undefined;
  };
}

/** Full jitter: anything from nothing to 250 ms, 500 ms, 1 s … 30 s. Back soonest, and gentle to a server that restarts. */
export function fastBackoff(options: BackoffOptions = {}): ReconnectPolicy {
  const { initial = 250, factor = 2, max = 30_000, attempts = Number.POSITIVE_INFINITY } = options;
  return (attempt) => (attempt < attempts ? Math.random() * Math.min(initial * factor ** attempt, max) : undefined);
}
