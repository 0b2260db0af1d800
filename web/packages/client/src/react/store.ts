import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { oncePerFrame } from '../frames.ts';
import { createListeners, type Undo } from '../listeners.ts';

/** A value that changes often, and is shown once a frame. */
export interface FrameStore<S> {
  /** As it is shown. */
  get(): S;
  /** Changes it. It is shown with the next frame. */
  update(change: (value: S) => S): void;
  onChange(listener: () => void): Undo;
}

/** Makes a store. While somebody watches it, what `feed` starts is running. It shows at most once in `every` milliseconds. */
export function createFrameStore<S>(initial: S, feed: (store: FrameStore<S>) => Undo, every = 0): FrameStore<S> {
  let value = initial;
  let shown = initial;
  let stop: Undo | undefined;
  const listeners = createListeners<[]>(() => {
    stop?.();
    stop = undefined;
  });
  const show = oncePerFrame(() => {
    if (Object.is(shown, value)) return;
    shown = value;
    listeners.emit();
  }, every);
  const store: FrameStore<S> = {
    get: () => shown,
    update(change) {
      value = change(value);
      show();
    },
    onChange(listener) {
      const undo = listeners.add(listener);
      stop ??= feed(store);
      return undo;
    },
  };
  return store;
}

/** The store of a key: another key, another store. */
export function useFrameStore<S>(key: unknown, make: () => FrameStore<S>): FrameStore<S> {
  const [kept, setKept] = useState(() => ({ key, store: make() }));
  if (Object.is(kept.key, key)) return kept.store;
  const next = { key, store: make() };
  setKept(next);
  return next.store;
}

/** What a store shows. */
export function useShown<S>(store: FrameStore<S>): S {
  return useSyncExternalStore(store.onChange, store.get, store.get);
}

/** The value of the last render that was shown, for callbacks that are not to be renewed. */
export function useLatestRef<T>(value: T): { readonly current: T } {
  const ref = useRef(value);
  useEffect(() => {
    ref.current = value;
  });
  return ref;
}
