import { type ReactNode, useSyncExternalStore } from 'react';
import { type Note, toast } from './notifications.tsx';

type Level = 'log' | 'error';

interface Line {
  readonly id: number;
  readonly level: Level;
  readonly text: string;
}

const most = 100;
const listeners = new Set<() => void>();
let lines: readonly Line[] = [];
let last = 0;

function write(level: Level, values: readonly unknown[]): void {
  const text = values.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))).join(' ');
  lines = [...lines.slice(1 - most), { id: ++last, level, text }];
  for (const listener of listeners) listener();
}

/** What an example writes to its console is shown on the page. */
export const console = {
  log: (...values: readonly unknown[]): void => write('log', values),
  error: (...values: readonly unknown[]): void => write('error', values),
};

export function showNotification(note: unknown): void {
  console.log('Notification:', note);
  toast.info((note as Note).message);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) lines = [];
  };
}

/** Shows what was written since it is shown. */
export function ConsoleView(): ReactNode {
  const shown = useSyncExternalStore(subscribe, () => lines);
  return (
    <ol className="console" aria-label="Console">
      {shown.map((line) => (
        <li key={line.id} className={line.level}>
          {line.text}
        </li>
      ))}
      {shown.length === 0 && <li className="empty">Nothing was written yet.</li>}
    </ol>
  );
}
