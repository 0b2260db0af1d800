/**
 * One connection for all tabs of an origin.
 *
 * It promises:
 * - However many tabs are open, there is one connection: in a SharedWorker if the page brings one that starts, else in one of the tabs.
 *   Where a browser has no Web Locks, each tab has its own.
 * - To each tab it is a connection like any other: its subscriptions, positions and answers are its own.
 * - When the tab that has the connection goes, another one takes over, and each resumes where it was: nothing is lost or doubled.
 *
 * @module
 */
import type { Transport } from '../transport.ts';
import { createHub, type Hub, type Seat } from './hub.ts';
import type { ToHub, ToTab } from './messages.ts';
import { createTab, type Tab } from './tab.ts';

/** How tabs share. */
export interface SharedOptions {
  /** Who shares: tabs that give the same name. Put the user in it where users may change. Default `''`. */
  readonly name?: string;
  /**
   * Makes a SharedWorker whose script calls {@link serveTabs}:
   * `() => new SharedWorker(new URL('./realtime.worker.ts', import.meta.url), { type: 'module' })`. Default: one of the tabs has the connection.
   */
  readonly worker?: () => SharedWorker;
}

/** What goes between a tab and the hub, in either direction, in pages that have no worker. */
type Letter =
  | { readonly from: string; readonly toHub: ToHub }
  | { readonly to: string; readonly toTab: ToTab }
  /** There is another leader. */
  | { readonly leader: string };

/** How long a leader that is asked may be silent before another tab takes over: it may be frozen. */
const patience = 3000;

/** A transport whose connection is shared with other tabs. */
export function shared(transport: Transport, { name = '', worker }: SharedOptions = {}): Transport {
  const scope = `millrace/${transport.name}/${name}`;
  let make = typeof SharedWorker === 'undefined' ? undefined : worker;
  let tab: Pick<Tab, 'open'> | undefined;

  function join(): Pick<Tab, 'open'> {
    try {
      if (make) return viaWorker(make, scope, withoutWorker);
    } catch {
      make = undefined; // the page may have none
    }
    return viaLeader(transport, scope);
  }
  function withoutWorker(): void {
    make = tab = undefined;
  }

  return {
    name: transport.name,
    open(context, events) {
      if (typeof navigator === 'undefined' || !navigator.locks) return transport.open(context, events);
      tab ??= join();
      return tab.open(context, events);
    },
  };
}

/** Serves the tabs of a SharedWorker, in whose script it is called. */
export function serveTabs(transport: Transport): void {
  const hub = createHub(transport);
  addEventListener('connect', (event) => {
    const [port] = (event as MessageEvent).ports;
    if (!port) return;
    const seat = hub.seat((message) => port.postMessage(message));
    port.onmessage = ({ data }: MessageEvent<ToHub | { readonly alive: string }>) => {
      if ('alive' in data) whenReleased(data.alive, seat);
      else seat.receive(data);
    };
  });
}

/** A tab holds a lock of its own for as long as it lives. Nobody hears of the tab before it has the lock: who asks for it takes it for dead. */
function holdLock(name: string): Promise<void> {
  return new Promise((resolve) => {
    void navigator.locks.request(name, () => {
      resolve();
      return new Promise(() => {});
    });
  });
}

function whenReleased(lock: string, seat: Seat): void {
  void navigator.locks.request(lock, () => seat.gone());
}

/** A worker has the hub. `failed` is called where its script cannot be had; what was to be opened is lost then. */
function viaWorker(make: () => SharedWorker, scope: string, failed: () => void): Pick<Tab, 'open'> {
  const worker = make();
  const { port } = worker;
  const lock = `${scope}/${crypto.randomUUID()}`;
  const held = holdLock(lock).then(() => port.postMessage({ alive: lock }));
  const tab = createTab((message) => void held.then(() => port.postMessage(message)));
  port.onmessage = ({ data }: MessageEvent<ToTab>) => tab.receive(data);
  worker.onerror = () => {
    failed();
    tab.receive({ closed: { reason: 'CONNECTION_LOST', message: 'the worker does not start', retryAfter: 0 } });
  };
  return tab;
}

/** One of the tabs, the leader, has the hub; the others write to it. */
function viaLeader(transport: Transport, scope: string): Pick<Tab, 'open'> {
  const id = crypto.randomUUID();
  const mail = new BroadcastChannel(scope);
  const seats = new Map<string, Seat>();
  let hub: Hub | undefined;
  let own: Seat | undefined;
  let waiting: ReturnType<typeof setTimeout> | undefined;
  const held = holdLock(`${scope}/${id}`);
  const tab = createTab(async (message) => {
    await held;
    if (own) own.receive(message);
    else mail.postMessage({ from: id, toHub: message } satisfies Letter);
  });

  function lead(steal: boolean): void {
    void navigator.locks
      .request(scope, steal ? { steal } : {}, () => {
        hub = createHub(transport);
        own = hub.seat(hear);
        mail.postMessage({ leader: id } satisfies Letter);
        tab.lost();
        return new Promise(() => {}); // until the tab goes, or somebody steals it
      })
      .catch((cause: unknown) => {
        if ((cause as Error).name !== 'AbortError') return; // the page is going
        hub?.close();
        hub = own = undefined;
        seats.clear();
        lead(false);
      });
  }

  function hear(message: ToTab): void {
    clearTimeout(waiting);
    tab.receive(message);
  }

  mail.onmessage = ({ data }: MessageEvent<Letter>) => {
    if ('leader' in data) {
      if (!hub) tab.lost();
    } else if ('to' in data) {
      if (data.to === id) hear(data.toTab);
    } else if (hub) seatOf(hub, data.from).receive(data.toHub);
  };

  function seatOf(at: Hub, from: string): Seat {
    let seat = seats.get(from);
    if (!seat) {
      seat = at.seat((toTab) => mail.postMessage({ to: from, toTab } satisfies Letter));
      seats.set(from, seat);
      whenReleased(`${scope}/${from}`, seat);
    }
    return seat;
  }

  lead(false);
  return {
    open(context, events) {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        if (!hub) lead(true);
      }, patience);
      return tab.open(context, events);
    },
  };
}
