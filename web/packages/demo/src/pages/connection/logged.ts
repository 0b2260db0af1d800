import type { Transport } from '@millrace/client';

/** A frame that came or went. */
export interface Entry {
  readonly id: number;
  readonly at: number;
  readonly out: boolean;
  readonly text: string;
}

/** The last frames, for a list. */
export interface FrameLog {
  get(): readonly Entry[];
  onChange(listener: () => void): () => void;
  add(out: boolean, frame: unknown): void;
}

const most = 60;

export function createFrameLog(): FrameLog {
  const listeners = new Set<() => void>();
  let entries: readonly Entry[] = [];
  let last = 0;
  return {
    get: () => entries,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    add(out, frame) {
      entries = [...entries.slice(1 - most), { id: ++last, at: Date.now(), out, text: JSON.stringify(frame) }];
      for (const listener of listeners) listener();
    },
  };
}

/** A transport whose frames are written down. Secrets are left out. */
export function logged(transport: Transport, log: FrameLog): Transport {
  const open: Transport['open'] = (context, events) => {
    const link = transport.open(context, {
      ...events,
      frame(frame) {
        log.add(false, 'sessionToken' in frame ? { ...frame, sessionToken: '…' } : frame);
        events.frame(frame);
      },
    });
    for (const command of context.subscriptions) log.add(true, command);
    return {
      get buffered() {
        return link.buffered;
      },
      send(command) {
        log.add(true, command);
        link.send(command);
      },
      close: (leave) => link.close(leave),
    };
  };
  return { ...transport, open };
}
