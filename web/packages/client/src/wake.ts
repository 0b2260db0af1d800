import type { Undo } from './listeners.ts';

const moments = ['online', 'offline', 'pageshow', 'resume', 'visibilitychange'];

/**
 * Calls back when what is known of the connection may be stale: the network came or went, the page was shown again, or came
 * back from the page cache. Outside a browser that never happens.
 */
export function onWake(wake: () => void): Undo {
  if (typeof document === 'undefined') return () => {};
  const stop = new AbortController();
  const listen = () => {
    if (document.visibilityState !== 'hidden') wake();
  };
  for (const target of [globalThis, document])
    for (const name of moments) target.addEventListener(name, listen, { signal: stop.signal });
  return () => stop.abort();
}
