/**
 * Between the vocabulary of the core and the JSON form of the API's messages (`millrace.v1`): absent fields are zero, 64-bit
 * numbers are text, enums have prefixes, durations end in "s".
 */
import { reasonOfProto } from '../error.ts';
import type {
  Command,
  Delivery,
  ErrorBody,
  Frame,
  MemberBody,
  Notice,
  Position,
  PresenceBody,
  PublishCommand,
  SubscribeCommand,
} from '../wire.ts';

interface ProtoPosition {
  readonly offset?: string | number;
  readonly epoch?: string;
}

interface ProtoPayload {
  readonly json?: string;
  readonly text?: string;
  readonly binary?: string;
  readonly contentType?: string;
}

interface ProtoMessage {
  readonly channel: string;
  readonly position?: ProtoPosition;
  readonly id?: string;
  readonly type?: string;
  readonly payload?: ProtoPayload;
  readonly publishTime?: string;
  readonly publisher?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly key?: string;
  readonly ephemeral?: boolean;
  readonly entity?: {
    readonly name?: string;
    readonly id?: string;
    readonly timestamp?: string;
    readonly queryKeysJson?: string;
  };
}

/** `millrace.v1.ErrorInfo`. */
export interface ProtoError {
  readonly reason?: string;
  readonly channel?: string;
  readonly field?: string;
  readonly limit?: string | number;
  readonly retryAfter?: string;
  readonly message?: string;
  readonly position?: ProtoPosition;
}

interface ProtoPlace {
  readonly channel: string;
  readonly position?: ProtoPosition;
}

interface ProtoMember {
  readonly user?: string;
  readonly data?: ProtoPayload;
  readonly enterTime?: string;
  readonly sessions?: number;
}

interface ProtoPresence {
  readonly channel: string;
  readonly version?: { readonly number?: string | number; readonly epoch?: string };
  readonly members?: readonly ProtoMember[];
  readonly changes?: readonly { readonly action?: string; readonly member?: ProtoMember }[];
  readonly total?: number;
  readonly nextPageToken?: string;
}

/** `millrace.v1.SubscribeResponse`. */
export interface ProtoItem {
  readonly messages?: readonly ProtoMessage[];
  readonly ready?: { readonly session?: string; readonly sessionToken?: string; readonly user?: string };
  readonly subscribed?: { readonly channel: string; readonly position?: ProtoPosition; readonly resumed?: boolean };
  readonly unsubscribed?: { readonly channel: string; readonly error?: ProtoError };
  readonly gap?: {
    readonly channel: string;
    readonly reason?: string;
    readonly requested?: ProtoPosition;
    readonly position?: ProtoPosition;
  };
  readonly checkpoint?: {
    readonly channel: string;
    readonly position?: ProtoPosition;
    readonly seen?: readonly ProtoPlace[];
  };
  readonly presenceSnapshot?: ProtoPresence;
  readonly presenceChanges?: ProtoPresence;
}

/** What a call answers, as far as any of the calls here does. */
export interface ProtoAnswer extends Partial<Omit<ProtoPresence, 'channel' | 'version'>> {
  readonly position?: ProtoPosition;
  readonly duplicate?: boolean;
  readonly messages?: readonly ProtoMessage[];
  readonly version?: NonNullable<ProtoPresence['version']>;
  readonly positions?: readonly ProtoPlace[];
  readonly cursor?: string;
  readonly subscribed?: readonly { readonly channel: string }[];
  readonly errors?: readonly ProtoError[];
}

/** The place before everything. */
const start: Position = { offset: 0, epoch: '' };

function position(p: ProtoPosition | undefined): Position | undefined {
  return p && { offset: Number(p.offset ?? 0), epoch: p.epoch ?? '' };
}

function positions(of: readonly ProtoPlace[]): Record<string, Position> {
  return Object.fromEntries(of.map((p) => [p.channel, position(p.position) ?? start]));
}

function data(p: ProtoPayload = {}): Pick<Delivery, 'data' | 'encoding' | 'contentType'> {
  if (p.json) return { data: JSON.parse(p.json) };
  if (p.text !== undefined) return { data: p.text, encoding: 'text' };
  if (p.binary !== undefined) return { data: p.binary, encoding: 'base64', contentType: p.contentType };
  return { data: null };
}

function delivery({ id, payload, position: at, publishTime, entity, ...rest }: ProtoMessage): Delivery {
  return {
    ...rest,
    ...data(payload),
    ...position(at),
    messageId: id,
    time: publishTime ? Date.parse(publishTime) : undefined,
    ...(entity && {
      entity: entity.name,
      id: entity.id,
      timestamp: entity.timestamp,
      queryKeys: entity.queryKeysJson ? JSON.parse(entity.queryKeysJson) : undefined,
    }),
  };
}

/** The error of a call or a notice. */
export function errorBody({ channel, ...e }: ProtoError): ErrorBody & { readonly reason: string } {
  return {
    ...e,
    reason: reasonOfProto(e.reason),
    for: channel,
    limit: Number(e.limit ?? 0),
    retryAfter: e.retryAfter ? Number.parseFloat(e.retryAfter) * 1000 : undefined,
    position: position(e.position),
  };
}

function member({ enterTime = '', data: payload, user = '', sessions = 0 }: ProtoMember = {}): MemberBody {
  return { user, since: Date.parse(enterTime), sessions, data: payload && data(payload).data };
}

function presence({
  channel,
  version = {},
  total = 0,
  members,
  changes,
  nextPageToken,
}: ProtoPresence): { readonly type: 'presence' } & PresenceBody {
  return {
    type: 'presence',
    for: channel,
    version: Number(version.number ?? 0),
    epoch: version.epoch,
    total,
    members: members?.map(member),
    changes: changes?.map((c) => ({ action: action(c.action), ...member(c.member) })),
    next: nextPageToken,
  };
}

function action(name: string | undefined): 'enter' | 'update' | 'leave' {
  return name?.endsWith('LEAVE') ? 'leave' : name?.endsWith('UPDATE') ? 'update' : 'enter';
}

/** One item of a stream as frames. */
export function framesOf(item: ProtoItem): Frame[] {
  const { messages, subscribed, unsubscribed, gap, checkpoint, presenceSnapshot, presenceChanges } = item;
  if (messages) return messages.map(delivery);
  if (subscribed)
    return [
      { type: 'subscribed', for: subscribed.channel, resumed: subscribed.resumed, ...position(subscribed.position) },
    ];
  if (unsubscribed)
    return [
      { type: 'unsubscribed', for: unsubscribed.channel, error: unsubscribed.error && errorBody(unsubscribed.error) },
    ];
  if (gap) {
    const reason = String(gap.reason).replace('GAP_REASON_', '');
    return [
      { type: 'gap', for: gap.channel, reason, requested: position(gap.requested), position: position(gap.position) },
    ];
  }
  if (checkpoint) {
    const { channel, position: at, seen } = checkpoint;
    return [{ type: 'checkpoint', for: channel, ...(position(at) ?? start), seen: seen && positions(seen) }];
  }
  if (presenceSnapshot) return [presence({ members: [], ...presenceSnapshot })];
  if (presenceChanges) return [presence({ changes: [], ...presenceChanges })];
  return [];
}

function duration(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : `${ms / 1000}s`;
}

function constant(prefix: string, name: string | undefined): string | undefined {
  return name && `${prefix}_${name.replace(/[A-Z]/g, '_$&').toUpperCase()}`;
}

/** `millrace.v1.Subscription`. */
export function subscription({ onGap, onSlow, minInterval, seen, ...rest }: Omit<SubscribeCommand, 'type'>): object {
  return {
    ...rest,
    onGap: constant('ON_GAP', onGap),
    onSlow: constant('ON_SLOW', onSlow),
    minInterval: duration(minInterval),
    seen: seen && Object.entries(seen).map(([channel, at]) => ({ channel, position: at })),
  };
}

function payload(value: unknown, encoding?: unknown): ProtoPayload | undefined {
  if (value === undefined) return undefined;
  return encoding === 'base64' ? { binary: String(value) } : { json: JSON.stringify(value) };
}

function publication({
  messageId,
  messageType,
  expect,
  ttl,
  data: value,
  encoding,
  type: _,
  ...rest
}: PublishCommand & { readonly encoding?: unknown }): object {
  return {
    ...rest,
    payload: payload(value, encoding),
    id: messageId,
    type: messageType,
    ttl: duration(ttl),
    expectedPosition: expect,
  };
}

/** A call: its name, its request, and what its answer means. */
export interface Call {
  readonly method: string;
  readonly request: object;
  notice(answer: ProtoAnswer): Notice | undefined;
}

/** The call that a command is; `undefined` for what only a WebSocket needs, and for subscriptions, which are asked together. */
export function callOf(command: Command): Call | undefined {
  const silent = (method: string, request: object): Call => ({ method, request, notice: () => undefined });
  switch (command.type) {
    case 'unsubscribe':
      return silent('UpdateSubscription', { remove: [command.channel] });
    case 'enter':
    case 'update':
      return silent(command.type === 'enter' ? 'EnterPresence' : 'UpdatePresence', {
        channel: command.channel,
        data: payload(command.data),
      });
    case 'leave':
      return silent('LeavePresence', { channel: command.channel });
    case 'publish':
      return {
        method: 'Publish',
        request: publication(command),
        notice: (a) => ({
          type: 'published',
          for: command.channel,
          duplicate: a.duplicate,
          ...position(a.position),
        }),
      };
    case 'history':
      return {
        method: 'History',
        request: {
          channel: command.channel,
          since: command.since,
          pageSize: command.limit,
          pageToken: command.page,
          order: command.newest ? 'HISTORY_ORDER_NEWEST_FIRST' : undefined,
        },
        notice: (a) => ({
          type: 'history',
          for: command.channel,
          messages: (a.messages ?? []).map(delivery),
          ...(position(a.position) ?? start),
          next: a.nextPageToken,
        }),
      };
    case 'presence':
      return {
        method: 'Presence',
        request: { channel: command.channel, pageSize: command.limit, pageToken: command.page },
        notice: ({ version = {}, ...a }) => presence({ ...a, version, channel: command.channel }),
      };
    case 'positions':
      return {
        method: 'GetPositions',
        request: { channels: command.channels },
        notice: (a) => ({
          type: 'positions',
          cursor: a.cursor ?? '',
          positions: positions(a.positions ?? []),
        }),
      };
    case 'subscribe':
    case 'hello':
    case 'ping':
      return undefined;
  }
}
