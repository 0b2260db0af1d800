import { useEffect, useMemo, useState } from 'preact/hooks';

/** Where in the console the page is: `#/sessions?user=ada`. */
export interface Route {
  /** Parts of the path: `['sessions']`, or `['sessions', ID]`. */
  readonly path: readonly string[];
  readonly query: URLSearchParams;
}

/** The route as a link. Empty parameters are left out. */
export function link(path: readonly string[], query: Record<string, string> = {}): string {
  const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== ''));
  const text = params.toString();
  return `#/${path.map(encodeURIComponent).join('/')}${text ? `?${text}` : ''}`;
}

/** Goes to a place, as a link would. */
export function go(path: readonly string[], query: Record<string, string> = {}): void {
  location.hash = link(path, query);
}

function parse(hash: string): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  return { path: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) };
}

/** A part that somebody wrote by hand may be no encoding at all. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The route, and again after each change. */
export function useRoute(): Route {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const change = (): void => setHash(location.hash);
    addEventListener('hashchange', change);
    change(); // what changed between the first render and this
    return () => removeEventListener('hashchange', change);
  }, []);
  return useMemo(() => parse(hash), [hash]);
}
