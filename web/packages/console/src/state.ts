import { type Client, RealtimeError } from '@millrace/client';
import type { GetNodeResponseJson, SampleJson } from '@millrace/client/gen/millrace/v1/admin_service_pb.ts';
import { createContext } from 'preact';
import { useCallback, useContext, useEffect, useRef, useState } from 'preact/hooks';
import type { API } from './api.ts';

/** What every page has. */
export interface Console {
  readonly api: API;
  readonly node: GetNodeResponseJson;
  /** Samples of the last ten minutes, oldest first. */
  readonly samples: readonly SampleJson[];
  /** Our own client, for messages and presence; connected while somebody retains it. */
  readonly client: Client;
  /** Whether new samples come. */
  readonly live: boolean;
  /** Says something at the foot of the page, and to screen readers. */
  notify(text: string, isError?: boolean): void;
}

export const ConsoleContext = createContext<Console | undefined>(undefined);

export function useConsole(): Console {
  const value = useContext(ConsoleContext);
  if (!value) throw new Error('not signed in');
  return value;
}

/** What a call answered last. What it answered before stays until it answers again. */
export interface Loaded<T> {
  readonly data: T | undefined;
  readonly error: string;
  reload(): void;
}

/** Calls now, when `key` changes, and every few seconds while the page is shown. */
export function useLoaded<T>(key: string, load: (signal: AbortSignal) => Promise<T>, seconds = 2): Loaded<T> {
  const [state, setState] = useState<{ key: string; data: T | undefined; error: string }>({
    key,
    data: undefined,
    error: '',
  });
  const [turn, setTurn] = useState(0);
  const loader = useRef(load);
  loader.current = load;
  // biome-ignore lint/correctness/useExhaustiveDependencies: a new turn is a reason to call again
  useEffect(() => {
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = async (): Promise<void> => {
      try {
        const data = document.hidden ? undefined : await loader.current(abort.signal);
        if (data !== undefined) setState({ key, data, error: '' });
      } catch (error) {
        if (!abort.signal.aborted)
          setState((before) => ({ key, data: before.key === key ? before.data : undefined, error: explain(error) }));
      }
      if (!abort.signal.aborted) timer = setTimeout(run, seconds * 1000);
    };
    void run();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, turn, seconds]);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  return { data: state.key === key ? state.data : undefined, error: state.error, reload };
}

/** Where a list is that is read page by page: the tokens of the pages up to the one that is shown. */
export function usePages() {
  const [tokens, setTokens] = useState<readonly string[]>(['']);
  return {
    page: tokens.length - 1,
    token: tokens.at(-1) ?? '',
    turn: (to: number, next: string | undefined): void =>
      setTokens(to < tokens.length ? tokens.slice(0, to + 1) : [...tokens, next ?? '']),
  };
}

const words: Record<string, string> = {
  UNAUTHENTICATED: 'The server does not accept these credentials',
  CONNECTION_LOST: 'The server cannot be reached',
};

/** What an error means to an operator. */
export function explain(error: unknown): string {
  if (!(error instanceof RealtimeError))
    return error instanceof TypeError ? 'The server cannot be reached.' : String(error);
  const detail = error.message.replace(/^(unauthenticated: |answered with .*)/, '');
  return [words[error.reason] ?? error.reason, detail].filter(Boolean).join(': ');
}
