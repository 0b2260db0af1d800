import { useSyncExternalStore } from 'react';

const listeners = new Set<() => void>();

function changed(): void {
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) addEventListener('popstate', changed);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) removeEventListener('popstate', changed);
  };
}

/** The page that the address names; `''` for the first. */
export function usePage(): string {
  return useSyncExternalStore(subscribe, () => location.pathname.slice('/demo/'.length));
}

/** Follows a link without loading the document anew. Links that open elsewhere are the browser's. */
export function follow(event: {
  readonly currentTarget: HTMLAnchorElement;
  readonly metaKey: boolean;
  readonly ctrlKey: boolean;
  readonly shiftKey: boolean;
  preventDefault(): void;
}): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey) return;
  event.preventDefault();
  history.pushState(null, '', event.currentTarget.href);
  changed();
  scrollTo(0, 0);
  document.getElementById('page')?.focus({ preventScroll: true });
}
