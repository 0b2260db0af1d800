import { RealtimeError } from './error.ts';
import { createHeartbeat, type Heartbeat, type HeartbeatOptions } from './heartbeat.ts';
import { backoff, type ReconnectPolicy } from './retry.ts';
import { after, type ConnectionEvent, type ConnectionState } from './states.ts';
import type { Link, LinkContext, LinkEvents, Transport } from './transport.ts';
import { type Frame, isDelivery, type Numbered } from './wire.ts';

/** How the connection is kept. */
export interface ConnectionOptions {
  /** Ways to the server, best first. A way that does not open makes way for the next at once; one that worked is tried first. */
  readonly transports: readonly Transport[];
  /**
   * Token, or a function that gets one; it is asked before each attempt. `refresh` is true when the attempt before did not
   * open or its token was refused: do not answer from a cache then.
   */
  readonly token?: string | ((request: { readonly refresh: boolean }) => string | Promise<string>);
  /** Default: {@link backoff}. */
  readonly reconnect?: ReconnectPolicy;
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

/** Makes a connection that is not there yet. */
export function createConnection(options: ConnectionOptions, events: ConnectionEvents): Connection {
  const { transports, token, reconnect = backoff(), connectTimeout = 10_000, stableAfter = 5000 } = options;
  let snapshot: Snapshot = { state: 'disconnected', transport: '', attempt: 0, retryAt: 0, error: undefined };
  let link: Link | undefined;
  let heartbeat: Heartbeat | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let current = 0; // number of the link whose events count
  let preferred = 0; // transport to begin with
  let tried = 0; // transports that failed since one was open
  let session: string | undefined;
  let refresh = false; // the next token must be a new one
  let refused = false; // the last token was

  function move(event: ConnectionEvent, change: Partial<Snapshot>): void {
    snapshot = { ...snapshot, ...change, state: after(snapshot.state, event) };
    events.changed();
  }

  async function open(): Promise<void> {
    drop();
    const number = current;
    const transport = transports[preferred];
    if (!transport) return;
    move('connect', { transport: transport.name, retryAt: 0 });
    timer = setTimeout(
      () => fail(new RealtimeError({ reason: 'CONNECTION_LOST', message: 'opening took too long' })),
      connectTimeout,
    );
    let bearer: string | undefined;
    try {
      bearer = typeof token === 'function' ? await token({ refresh }) : token;
    } catch (cause) {
      if (number === current) fail(new RealtimeError({ reason: 'TOKEN_FAILED' }, cause));
      return;
    }
    if (number !== current) return;
    link = transport.open({ token: bearer, session, subscriptions: events.subscriptions() }, eventsOf(number));
  }

  /** The events of a link count until the next one is opened, or nobody wants it. */
  function eventsOf(number: number): LinkEvents {
    const only =
      <A extends readonly unknown[]>(run: (...values: A) => void) =>
      (...values: A): void => {
        if (number === current) run(...values);
      };
    return {
      opened: only(opened),
      frame: only((frame: Frame) => {
        heartbeat?.heard();
        if (!isDelivery(frame) && frame.type === 'hello') session = frame.sessionToken ?? session;
        else events.frame(frame);
      }),
      alive: only(() => heartbeat?.heard()),
      closed: only(fail),
    };
  }

  function opened(): void {
    clearTimeout(timer);
    timer = setTimeout(() => move('opened', { attempt: 0 }), stableAfter);
    tried = 0;
    refresh = refused = false;
    heartbeat = createHeartbeat(
      options.heartbeat ?? {},
      () => link?.send({ type: 'ping' }),
      () => fail(new RealtimeError({ reason: 'CONNECTION_LOST', message: 'the server is silent' })),
    );
    move('opened', { error: undefined });
    events.opened();
  }

  /** Lets go of the link and of whatever was planned. */
  function drop(leave = false): void {
    current++;
    clearTimeout(timer);
    heartbeat?.stop();
    link?.close(leave);
    link = heartbeat = undefined;
  }

  function fail(error: RealtimeError): void {
    const wasOpen = snapshot.state === 'connected';
    drop();
    const { reason } = error;
    const unauthenticated = reason === 'UNAUTHENTICATED';
    const renew = unauthenticated && typeof token === 'function' && !refused;
    refused = unauthenticated;
    refresh = unauthenticated || reason === 'EXPIRED' || !wasOpen;
    if (reason === 'SESSION_NOT_FOUND') session = undefined;
    if (!error.retryable || (unauthenticated && !renew)) {
      stop(error);
      return;
    }
    if (!wasOpen) preferred = (preferred + 1) % transports.length;
    const next = !wasOpen && ++tried < transports.length;
    if (!next) tried = 0;
    const delay = renew || next ? 0 : (error.retryAfter ?? reconnect(snapshot.attempt, error));
    if (delay === undefined) {
      stop(error);
      return;
    }
    move('lost', { error, attempt: snapshot.attempt + (next ? 0 : 1), retryAt: Date.now() + delay });
    timer = setTimeout(open, delay);
    events.lost(error);
  }

  function stop(error: RealtimeError): void {
    move('refused', { error });
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
      events.lost(new RealtimeError({ reason: 'CONNECTION_LOST', message: 'disconnected' }));
    },
    wake() {
      const { state, retryAt, error } = snapshot;
      if (retryAt || (state === 'error' && error?.retryable)) connect();
      else heartbeat?.probe();
    },
    send(command) {
      if (!link || snapshot.state !== 'connected') return false;
      link.send(command);
      return true;
    },
    buffered: () => link?.buffered ?? 0,
  };
}
