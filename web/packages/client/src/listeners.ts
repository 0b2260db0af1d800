/** Undoes what returned it. Calling it again does nothing. */
export type Undo = () => void;

/** One undo for several. */
export function together(...undo: readonly Undo[]): Undo {
  return () => {
    for (const each of undo) each();
  };
}

/** Those who want to know of something. */
export interface Listeners<A extends readonly unknown[]> {
  readonly size: number;
  /** Adds a listener. The same function added twice is called twice, and each undo removes one. */
  add(listener: (...values: A) => void): Undo;
  /** Calls all. One that throws is reported to the page and stops nobody else. */
  emit(...values: A): void;
}

/** Makes an empty list of listeners. `emptied` is called when the last one goes. */
export function createListeners<A extends readonly unknown[]>(emptied?: () => void): Listeners<A> {
  const entries = new Set<{ readonly call: (...values: A) => void }>();
  return {
    get size() {
      return entries.size;
    },
    add(call) {
      const entry = { call };
      entries.add(entry);
      return () => {
        if (entries.delete(entry) && entries.size === 0) emptied?.();
      };
    },
    emit(...values) {
      for (const entry of [...entries]) {
        try {
          if (entries.has(entry)) entry.call(...values);
        } catch (error) {
          // It is the application's: it goes where uncaught errors go.
          queueMicrotask(() => {
            throw error;
          });
        }
      }
    },
  };
}
