import { lost, RealtimeError } from './error.ts';
import { createHeartbeat, type Heartbeat, type HeartbeatOptions } from './heartbeat.ts';
import { backoff, type ReconnectPolicy } from './retry.ts';
import { after, type ConnectionEvent, type ConnectionState } from './states.ts';
import type { Link, LinkContext, LinkEvents, Transport } from './transport.ts';
import { type Frame, isDelivery, type Notice, type Numbered } from './wire.ts';

/** How the connection is kept. */
export interface ConnectionOptions {
  /** Ways to the server, best first. A way that does not open makes way for the next at once; one that worked is tried first. */
  readonly transports: readonly Transport[];
  /**
   * Token, or a function that gets one. It is asked before each attempt, and again before a token expires. `refresh` is true then, and when
   * the attempt before did not open or its token was refused: do not answer from a cache.
   */
  readonly token?: string | ((request: { readonly refresh: boolean }) => string | Promise<string>) | undefined;
  /** Default: {@link backoff}. */
  readonly reconnect?: ReconnectPolicy | undefined;
  readonly heartbeat?: HeartbeatOptions;
  /** How long opening may take, in milliseconds. Default 10 s. */
  readonly connectTimeout?: number;
  /** How long a link must last before the policy starts anew, in milliseconds. Default 5 s. */
  readonly stableAfter?: number;
}

/** The connection at one moment. A new object after each change. */
export interface Snapshot {
  readonly state: ConnectionState;
  /** Name of the transport in use, or tried last. */
  readonly transport: string;
  /** Failures since the last stable connection. */
  readonly attempt: number;
  /** When the next attempt is, in milliseconds since 1970; 0 for none. */
  readonly retryAt: number;
  /** Why the connection was lost or refused; gone when it is there again. */
  readonly error: RealtimeError | undefined;
}

/** What a connection tells. */
export interface ConnectionEvents {
  subscriptions(): LinkContext['subscriptions'];
  /** There is a new link. What was sent on an earlier one may not have arrived. */
  opened(): void;
  frame(frame: Frame): void;
  lost(error: RealtimeError): void;
  changed(): void;
}

/** Keeps one link to the server, or tries to. */
export interface Connection {
  snapshot(): Snapshot;
  connect(): void;
  disconnect(): void;
  /** The page or the network woke up. */
  wake(): void;
  /** Sends now, or says that it cannot. */
  send(command: Numbered): boolean;
  /** Bytes that wait to be sent. */
  buffered(): number;
}

/** One try to have a link, and the link once it is there. Its events count while it is `current` or `coming`. */
interface Attempt {
  link?: Link;
}

/** About how long to wait before looking again for a server that does not drain, in milliseconds. */
const elsewhere = 1000;

/** The longest time that a timer takes. */
const longestTimer = 2 ** 31 - 1;

/** Makes a connection that is not there yet. */
export function createConnection(options: ConnectionOptions, events: ConnectionEvents): Connection {
  const { transports, token, reconnect = backoff(), connectTimeout = 10_000, stableAfter = 5000 } = options;
  let snapshot: Snapshot = { state: 'disconnected', transport: '', attempt: 0, retryAt: 0, error: undefined };
  let current: Attempt | undefined; // has the link that is in use
  let coming: Attempt | undefined; // opens one; it takes the place of the current one, if there is such
  let taken: Attempt | undefined; // another one has asked for its session, for which alone the server may end it
  let heartbeat: Heartbeat | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let renewal: ReturnType<typeof setTimeout> | undefined;
  let preferred = 0; // transport to begin with
  let tried = 0; // transports that failed since one was open
  let session: string | undefined;
  let refresh = false; // the next token must be a new one
  let refused = false; // the last token was

  function move(event: ConnectionEvent, change: Partial<Snapshot>): void {
    snapshot = { ...snapshot, ...change, state: after(snapshot.state, event) };
    events.changed();
  }

  async function bearer(fresh: boolean): Promise<string | undefined> {
    return typeof token === 'function' ? await token({ refresh: fresh }) : token;
  }

  function openIn(delay: number | undefined): void {
    clearTimeout(timer);
    timer = setTimeout(open, delay);
  }

  /** Opens a link. One that is in use stays so until then. */
  async function open(): Promise<void> {
    const attempt: Attempt = {};
    const transport = transports[preferred];
    if (!transport) return;
    coming?.link?.close(false);
    coming = attempt;
    if (!current) move('connect', { transport: transport.name, retryAt: 0 });
    clearTimeout(timer);
    timer = setTimeout(() => ended(attempt, lost('too slow')), connectTimeout);
    let reason = 'TOKEN_FAILED';
    try {
      const bearing = await bearer(refresh);
      if (attempt !== coming) return;
      taken = current;
      reason = 'CONNECTION_LOST'; // there is no such class here, or the address is none
      attempt.link = transport.open(
        { token: bearing, session, subscriptions: events.subscriptions() },
        eventsOf(attempt),
      );
    } catch (cause) {
      ended(attempt, new RealtimeError({ reason, message: String(cause) }, cause));
    }
  }

  function eventsOf(attempt: Attempt): LinkEvents {
    const counts = (): boolean => attempt === current || attempt === coming;
    return {
      opened() {
        if (attempt === coming) opened(attempt);
      },
      frame(frame) {
        if (!counts()) return;
        heartbeat?.heard();
        if (isDelivery(frame) || !notice(frame, attempt)) {
          if (attempt === current || !current) events.frame(frame); // else the link in use has it as well
        }
      },
      alive() {
        if (counts()) heartbeat?.heard();
      },
      closed: (error) => ended(attempt, error),
    };
  }

  /** Takes what is about the connection itself, and says whether it was. */
  function notice(n: Notice, attempt: Attempt): boolean {
    if (n.type === 'draining') {
      if (attempt === current && !coming) openIn(n.retryAfter);
    } else if (n.type === 'hello' || n.type === 'auth') {
      if (n.type === 'hello') session = n.sessionToken ?? session;
      if (n.expires && typeof token === 'function') renewBefore(n.expires, attempt);
    } else return false;
    return true;
  }

  /** Gives the session a new token in time. Should that fail, the server ends it, and the next attempt gets a new one. */
  function renewBefore(expires: number, attempt: Attempt): void {
    clearTimeout(renewal);
    renewal = setTimeout(
      async () => {
        const fresh = await bearer(true).catch(() => undefined);
        if (fresh && attempt === current) attempt.link?.send({ type: 'auth', id: 0, token: fresh });
      },
      Math.min(Math.max((expires - Date.now()) * 0.8, 1000), longestTimer),
    );
  }

  function opened(attempt: Attempt): void {
    current?.link?.close(false);
    current = attempt;
    coming = undefined;
    clearTimeout(timer);
    timer = setTimeout(() => move('opened', { attempt: 0 }), stableAfter);
    tried = 0;
    refresh = refused = false;
    heartbeat?.stop();
    heartbeat = createHeartbeat(
      options.heartbeat,
      () => current?.link?.send({ type: 'ping' }),
      () => fail(lost('the server is silent')),
    );
    move('opened', { error: undefined });
    events.opened();
  }

  /** Lets go of links and of whatever was planned. */
  function drop(leave = false): void {
    const links = [current?.link, coming?.link];
    current = coming = undefined;
    clearTimeout(timer);
    clearTimeout(renewal);
    heartbeat?.stop();
    heartbeat = undefined;
    for (const link of links) link?.close(leave);
  }

  function ended(attempt: Attempt, why: RealtimeError): void {
    if (attempt !== current && attempt !== coming) return;
    const error = attempt === taken && !why.retryable ? lost('disconnected') : why; // the next attempt is told whether that is final
    if (!current || !coming) fail(error);
    else if (attempt === current) {
      current = undefined; // the coming one takes its place
      events.lost(error);
    } else {
      coming = undefined; // the current one is as good as before, until the server ends it
      attempt.link?.close(false);
      refresh = true;
      if (error.retryable) openIn(elsewhere * (0.5 + Math.random()));
    }
  }

  function fail(error: RealtimeError): void {
    const wasOpen = current !== undefined;
    drop();
    const { reason } = error;
    const unauthenticated = reason === 'UNAUTHENTICATED';
    const renew = unauthenticated && typeof token === 'function' && !refused;
    refused = unauthenticated;
    refresh = unauthenticated || reason === 'EXPIRED' || !wasOpen;
    if (reason === 'SESSION_NOT_FOUND') session = undefined;
    const isFinal = !error.retryable || (unauthenticated && !renew);
    const another = !wasOpen && !isFinal;
    if (another) preferred = (preferred + 1) % transports.length;
    const next = another && ++tried < transports.length;
    if (!next) tried = 0;
    const delay = renew || next ? 0 : (error.retryAfter ?? reconnect(snapshot.attempt, error));
    if (isFinal || delay === undefined) move('refused', { error });
    else {
      move('lost', { error, attempt: snapshot.attempt + (next ? 0 : 1), retryAt: Date.now() + delay });
      openIn(delay);
    }
    events.lost(error);
  }

  function connect(): void {
    const { state, retryAt } = snapshot;
    if (state === 'disconnected' || state === 'error') move('connect', { attempt: 0, error: undefined });
    else if (!retryAt) return;
    void open();
  }

  return {
    snapshot: () => snapshot,
    connect,
    disconnect() {
      drop(true);
      session = undefined;
      move('disconnect', { retryAt: 0, attempt: 0, error: undefined });
      events.lost(lost('disconnected'));
    },
    wake() {
      const { state, error } = snapshot;
      if (state === 'reconnecting')
        void open(); // an attempt of before may hang
      else if (state === 'error' && error?.retryable) connect();
      else heartbeat?.probe();
    },
    send(command) {
      current?.link?.send(command);
      return current !== undefined;
    },
    buffered: () => current?.link?.buffered ?? 0,
  };
}
