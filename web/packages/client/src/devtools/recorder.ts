import type { Client } from '../client.ts';
import { RealtimeError } from '../error.ts';
import { oncePerFrame } from '../frames.ts';
import { createListeners, type Undo } from '../listeners.ts';
import type { Link, LinkEvents, Transport } from '../transport.ts';
import type { ErrorBody, Frame } from '../wire.ts';

/** One line of the log. */
export interface Entry {
  readonly number: number;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** A frame that came, one that was sent, something about the link, or another state of the client. */
  readonly kind: 'in' | 'out' | 'link' | 'state';
  readonly text: string;
}

/** What is wrong with the network. */
export interface Faults {
  /** Links are not opened. */
  readonly refuse: boolean;
  /** Nothing passes in either direction, and nobody is told: a half-open connection. What waits passes when it ends. */
  readonly silent: boolean;
  /** Everything takes this much longer in each direction, in milliseconds. */
  readonly delay: number;
}

/** What the panel shows. A new object after each change. */
export interface DevtoolsSnapshot {
  /** Oldest first. */
  readonly entries: readonly Entry[];
  readonly faults: Faults;
  /** Links that are open or being opened. */
  readonly links: number;
}

/** Records what passes, and breaks it on demand. */
export interface Devtools {
  /** The transports to give to a client instead of its own. */
  wrap(transports: readonly Transport[]): readonly Transport[];
  /** Records the states of a client. */
  watch(client: Client): Undo;
  getSnapshot(): DevtoolsSnapshot;
  /** Is told once a frame. */
  onChange(listener: () => void): Undo;
  /** Changes what is wrong. */
  set(faults: Partial<Faults>): void;
  /** Ends links, for a reason of the server or because they are lost. */
  drop(body?: ErrorBody): void;
  /** Says that the server drains: the client opens another link, and then leaves this one. */
  drain(): void;
  clear(): void;
}

/** Something that waits to pass. */
interface Parcel {
  readonly at: number;
  pass(): void;
}

/** Makes a recorder that keeps the newest entries. */
export function createDevtools({ max = 500 }: { readonly max?: number } = {}): Devtools {
  const listeners = createListeners<[]>();
  const links = new Set<{ end(error: RealtimeError): void; receive(frame: Frame): void }>();
  const pipes = new Set<() => void>();
  let entries: readonly Entry[] = [];
  let faults: Faults = { refuse: false, silent: false, delay: 0 };
  let number = 0;
  let snapshot: DevtoolsSnapshot = { entries, faults, links: 0 };

  const show = oncePerFrame(() => {
    snapshot = { entries, faults, links: links.size };
    listeners.emit();
  });
  function record(kind: Entry['kind'], text: string): void {
    entries = [
      ...entries.slice(entries.length < max ? 0 : 1 - max),
      { number: ++number, time: Date.now(), kind, text },
    ];
    show();
  }

  /** One direction of a link: things pass in order, as late as the faults say. */
  function createPipe(): { put(pass: () => void): void; close(): void } {
    const waiting: Parcel[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const flush = (): void => {
      clearTimeout(timer);
      while (!faults.silent && waiting[0] && waiting[0].at <= Date.now()) waiting.shift()?.pass();
      if (!faults.silent && waiting[0]) timer = setTimeout(flush, waiting[0].at - Date.now());
    };
    pipes.add(flush);
    return {
      put(pass) {
        waiting.push({ at: faults.delay > 0 ? Date.now() + faults.delay : 0, pass });
        flush();
      },
      close() {
        clearTimeout(timer);
        pipes.delete(flush);
        waiting.length = 0;
      },
    };
  }

  function wrap(transport: Transport): Transport {
    return {
      name: transport.name,
      open(context, events) {
        record('link', `opens ${transport.name}`);
        return faults.refuse ? refused(events) : connected(transport, context, events);
      },
    };
  }

  function refused(events: LinkEvents): Link {
    const timer = setTimeout(() => {
      record('link', 'refused by the devtools');
      events.closed(new RealtimeError({ reason: 'CONNECTION_LOST', message: 'refused by the devtools' }));
    });
    return { buffered: 0, send() {}, close: () => clearTimeout(timer) };
  }

  function connected(transport: Transport, context: Parameters<Transport['open']>[0], events: LinkEvents): Link {
    const [down, up] = [createPipe(), createPipe()];
    const close = (): void => {
      links.delete(entry);
      down.close();
      up.close();
      show();
    };
    const end = (error: RealtimeError): void => {
      if (!links.has(entry)) return;
      close();
      record('link', `ended: ${error.reason} ${error.message}`);
      events.closed(error);
    };
    const receive = (frame: Frame): void => {
      record('in', JSON.stringify(frame));
      events.frame(frame);
    };
    const entry = {
      end(error: RealtimeError) {
        inner.close(false);
        end(error);
      },
      receive: (frame: Frame) => down.put(() => receive(frame)),
    };
    links.add(entry);
    for (const command of context.subscriptions) record('out', JSON.stringify(command));
    const inner = transport.open(context, {
      opened: () => down.put(events.opened),
      alive: () => down.put(events.alive),
      frame: entry.receive,
      closed: (error) => down.put(() => end(error)),
    });
    return {
      get buffered() {
        return inner.buffered;
      },
      send(command) {
        record('out', JSON.stringify(command));
        up.put(() => inner.send(command));
      },
      close(leave) {
        if (!links.has(entry)) return;
        close();
        record('link', leave ? 'left' : 'let go');
        inner.close(leave);
      },
    };
  }

  return {
    wrap: (transports) => transports.map(wrap),
    watch(client) {
      let last = '';
      const tell = (): void => {
        const { state, attempt, error } = client.getSnapshot();
        const text = [state, attempt > 0 && `attempt ${attempt}`, error?.reason].filter(Boolean).join(', ');
        if (text !== last) record('state', text);
        last = text;
      };
      tell();
      return client.onChange(tell);
    },
    getSnapshot: () => snapshot,
    onChange: listeners.add,
    set(change) {
      faults = { ...faults, ...change };
      for (const flush of [...pipes]) flush();
      show();
    },
    drop(body = {}) {
      for (const link of [...links]) link.end(new RealtimeError({ reason: 'CONNECTION_LOST', ...body }));
    },
    drain() {
      for (const link of [...links]) link.receive({ type: 'draining', retryAfter: 0 });
    },
    clear() {
      entries = [];
      show();
    },
  };
}
