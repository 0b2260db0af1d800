import { type Ack, type Answer, type Channel, createChannel } from './channel.ts';
import { type ConnectionOptions, type Snapshot as ConnectionSnapshot, createConnection } from './connection.ts';
import { RealtimeError } from './error.ts';
import { createListeners, type Undo } from './listeners.ts';
import { type Handler, type Message, toMessage } from './message.ts';
import type { ChannelMap, ChannelName, DataOf } from './names.ts';
import { createRequests, type QueueOptions } from './requests.ts';
import type { Channels } from './schema.ts';
import { createSubscription, type Subscription } from './subscription.ts';
import { onWake } from './wake.ts';
import {
  type ChannelOptions,
  type Command,
  type Delivery,
  type Frame,
  isDelivery,
  type Notice,
  type Position,
  type PublishOptions,
  positionOf,
} from './wire.ts';

/** Options of a client. Only `transports` is needed. */
export interface ClientOptions<C extends ChannelMap = ChannelMap> extends ConnectionOptions {
  /** What waits while there is no connection. */
  readonly queue?: QueueOptions | undefined;
  /** What is in which channel, from `defineChannels`. Data that does not fit is told to `onError` instead. */
  readonly channels?: Channels<C>;
}

/** The client at one moment. A new object after each change. */
export interface Snapshot extends ConnectionSnapshot {
  /** Commands that wait for a connection or an answer. */
  readonly queued: number;
}

/** What does not depend on the names of channels. */
interface ClientBase {
  getSnapshot(): Snapshot;
  /** Is called after each change of the snapshot. */
  onChange(listener: () => void): Undo;
  /** Is told of errors that no call answers. */
  onError(listener: (error: RealtimeError) => void): Undo;
  /**
   * Receives every message once, of whatever channel and however many subscriptions show it; an ephemeral one, which has no position to
   * know it by, with each of them.
   */
  onMessage(listener: (message: Message) => void): Undo;
  /** Connects and stays so until `disconnect`. While it waits for the next attempt, it tries at once. */
  connect(): void;
  /** Disconnects, and leaves where it was present. What is subscribed resumes when it connects again. */
  disconnect(): void;
  /** Connects, as `connect` does, but for as long only as somebody retains it, and 100 ms longer. */
  retain(): Undo;
  /** Resolves when it is connected, rejects when the connection is refused or the signal says so. */
  ready(signal?: AbortSignal): Promise<void>;
  /** Where channels are now, for a snapshot that is to be followed by messages. */
  positions(channels: readonly string[], signal?: AbortSignal): Promise<Positions>;
}

/** Places in several channels. */
export interface Positions {
  readonly positions: Readonly<Record<string, Position>>;
  /** The same as one opaque text. */
  readonly cursor: string;
}

/** One client: subscriptions, queue and presence belong to it, and outlive any connection. `C` says what is in which channel. */
export interface Client<C extends ChannelMap = ChannelMap> extends ClientBase {
  /** The handle of a channel or pattern. Options count when the name is used for the first time. */
  channel<N extends ChannelName<C>>(name: N, options?: ChannelOptions): Channel<DataOf<C, N>>;
  subscribe<N extends ChannelName<C>>(name: N, handler: Handler<DataOf<C, N>>): Undo;
  publish<N extends ChannelName<C>>(name: N, data: DataOf<C, N>, options?: PublishOptions): Promise<Ack>;
  /** Publishes, and tells `onError` if that fails. */
  send<N extends ChannelName<C>>(name: N, data: DataOf<C, N>): void;
}

/** The client as it is at run time, where nothing is known of types. */
interface UntypedClient extends ClientBase {
  channel(name: string, options?: ChannelOptions): Channel;
  subscribe(name: string, handler: Handler): Undo;
  publish(name: string, data: unknown, options?: PublishOptions): Promise<Ack>;
  send(name: string, data: unknown): void;
}

/** How many messages are remembered, lest `onMessage` is told of one again. */
const mostTold = 4096;

/** An ephemeral message is dropped rather than added to this many bytes that wait already. */
const crowded = 64 * 1024;

/** Makes a client that is not connected. */
export function createClient<C extends ChannelMap = ChannelMap>(options: ClientOptions<C>): Client<C>;
export function createClient(options: ClientOptions): UntypedClient {
  const check = options.channels?.check ?? ((_, data) => data);
  const prefix = `${Math.random().toString(36).slice(2, 10)}${Date.now().toString(36)}-`;
  const subscriptions = new Map<string, Subscription>();
  const channels = new Map<string, Channel>();
  const changes = createListeners<[]>();
  const errors = createListeners<[RealtimeError]>();
  const messages = createListeners<[Message]>();
  const told = new Set<string>();
  let last = 0;
  let retained = 0;
  let stays = false; // somebody asked for a connection without an end
  let syncing = false;
  let asleep: Undo = () => {};

  const connection = createConnection(options, {
    subscriptions: () => [...subscriptions.values()].flatMap((s) => s.resume() ?? []),
    opened() {
      for (const s of subscriptions.values()) s.opened();
      requests.flush();
    },
    frame,
    lost(error) {
      for (const s of subscriptions.values()) s.lost();
      if (!error.retryable) errors.emit(error);
    },
    changed,
  });
  const requests = createRequests(options.queue ?? {}, number, connection.send, changed);
  let snapshot: Snapshot = { ...connection.snapshot(), queued: 0 };

  function number(): number {
    return ++last;
  }
  function changed(): void {
    snapshot = { ...connection.snapshot(), queued: requests.size };
    changes.emit();
  }

  /** Before the task ends: what is subscribed and undone within it never reaches the server. */
  function dirty(): void {
    if (!syncing) queueMicrotask(sync);
    syncing = true;
  }
  function sync(): void {
    if (!syncing) return;
    syncing = false;
    for (const s of subscriptions.values()) s.sync();
  }
  function ask<T extends Notice['type']>(command: Command, signal?: AbortSignal): Promise<Answer<T>> {
    sync();
    return requests.ask(command, signal) as Promise<Answer<T>>;
  }

  function frame(f: Frame): void {
    if (isDelivery(f)) deliver(f);
    else notice(f);
  }

  function deliver(delivery: Delivery): void {
    let message = toMessage(delivery, prefix);
    try {
      message = { ...message, data: check(message.channel, message.data) };
    } catch (error) {
      errors.emit(error as RealtimeError);
      return;
    }
    const s = of(delivery.pattern ?? message.channel);
    if ((!s || s.deliver(message)) && isNews(message)) messages.emit(message);
  }

  /** A message comes by each subscription that shows it. */
  function isNews({ channel, position: at }: Message): boolean {
    if (!at) return true;
    const key = [channel, at.epoch, at.offset].join();
    if (told.has(key)) return false;
    told.add(key);
    for (const oldest of told) {
      if (told.size <= mostTold) break;
      told.delete(oldest);
    }
    return true;
  }

  function notice(n: Notice): void {
    const subscriber = [...subscriptions.values()].find((s) => s.asked() === n.id);
    if (subscriber) subscriber.notice(n);
    else if (requests.answer(n)) return;
    else if (n.type === 'error') refused(new RealtimeError(n));
    else if ('for' in n && n.type !== 'subscribed') of(('pattern' in n && n.pattern) || n.for)?.notice(n);
  }

  function refused(error: RealtimeError): void {
    const s = subscriptions.get(error.channel ?? '');
    if (error.retryAfter !== undefined) s?.repeat(error.retryAfter);
    s?.errors.emit(error);
    errors.emit(error);
  }

  /** The subscription of a name, if anybody wants it. */
  function of(name: string): Subscription | undefined {
    const s = subscriptions.get(name);
    return s?.wanted() ? s : undefined;
  }

  function channel(name: string, channelOptions: ChannelOptions = {}): Channel {
    let handle = channels.get(name);
    if (!handle) {
      const s = createSubscription(name, channelOptions, number, connection.send, dirty, errors.emit);
      subscriptions.set(name, s);
      handle = createChannel(s, { prefix, dirty, ask, publish });
      channels.set(name, handle);
    }
    return handle;
  }

  async function publish(name: string, value: unknown, how: PublishOptions = {}): Promise<Ack> {
    const data = check(name, value);
    const body =
      data instanceof Uint8Array
        ? { data: btoa(data.reduce((text, byte) => text + String.fromCharCode(byte), '')), encoding: 'base64' }
        : { data };
    const command = { type: 'publish', channel: name, ...body, ...how } as const;
    if (how.ephemeral) {
      sync();
      if (connection.buffered() > crowded || !connection.send(command))
        throw new RealtimeError({ reason: 'NOT_CONNECTED', for: name });
      return { messageId: undefined, position: undefined, duplicate: false };
    }
    const messageId = how.messageId ?? `${prefix}${number()}`;
    const answer = await ask<'published'>({ ...command, messageId });
    return { messageId, position: positionOf(answer), duplicate: answer.duplicate ?? false };
  }

  function open(): void {
    asleep();
    asleep = onWake(connection.wake);
    connection.connect();
  }
  function disconnect(): void {
    stays = false;
    asleep();
    for (const s of subscriptions.values()) s.leave();
    connection.disconnect();
  }

  return {
    getSnapshot: () => snapshot,
    onChange: changes.add,
    onError: errors.add,
    onMessage: messages.add,
    connect() {
      stays = true;
      open();
    },
    disconnect,
    retain() {
      retained++;
      open();
      let held = true;
      return () => {
        if (!held) return;
        held = false;
        if (--retained > 0) return;
        setTimeout(() => {
          if (retained === 0 && !stays) disconnect();
        }, 100);
      };
    },
    ready: (signal) =>
      new Promise((resolve, reject) => {
        const check = (): void => {
          const { state, error } = snapshot;
          if (state !== 'connected' && state !== 'error' && !signal?.aborted) return;
          undo();
          signal?.removeEventListener('abort', check);
          if (state === 'connected') resolve();
          else reject(signal?.aborted ? signal.reason : error);
        };
        const undo = changes.add(check);
        signal?.addEventListener('abort', check);
        check();
      }),
    channel,
    subscribe: (name, handler) => channel(name).subscribe(handler),
    publish,
    send: (name, data) => void publish(name, data).catch(errors.emit),
    positions: (names, signal) => ask<'positions'>({ type: 'positions', channels: names }, signal),
  };
}
