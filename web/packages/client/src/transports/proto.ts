/**
 * Between the vocabulary of the core and the JSON form of the API's messages (`millrace.v1`): absent fields are zero, 64-bit
 * numbers are text, enums have prefixes, durations end in "s". The types are generated from the protos.
 */
import type { ErrorInfoJson } from '../gen/millrace/v1/errors_pb.ts';
import type { MessageJson, PayloadJson, PositionJson } from '../gen/millrace/v1/message_pb.ts';
import type { MemberJson, PresenceChangeJson, PresenceVersionJson } from '../gen/millrace/v1/presence_pb.ts';
import type { ChannelPositionJson, SubscribeResponseJson } from '../gen/millrace/v1/realtime_service_pb.ts';
import type { Delivery, ErrorBody, Frame, MemberBody, Position } from '../wire.ts';

/** Any body of a notice. What they have in common has one form, so one function reads them all. */
interface Body {
  readonly channel?: string;
  readonly position?: PositionJson;
  readonly requested?: PositionJson;
  readonly seen?: readonly ChannelPositionJson[];
  readonly version?: PresenceVersionJson;
  readonly total?: number;
  readonly members?: readonly MemberJson[];
  readonly changes?: readonly PresenceChangeJson[];
  readonly reason?: string;
  readonly retryAfter?: string;
  readonly limit?: string | number;
  readonly expireTime?: string;
  readonly error?: Body;
}

/** An error of Connect, with ours as a detail. */
export interface ConnectErrorJson {
  readonly code?: string;
  readonly message?: string;
  readonly details?: readonly { readonly debug?: ErrorInfoJson }[];
}

/** What the notices are that are not called so. */
const types: Readonly<Record<string, string>> = {
  presenceSnapshot: 'presence',
  presenceChanges: 'presence',
};

const place = (p?: PositionJson): Position | undefined => p && { offset: Number(p.offset ?? 0), epoch: p.epoch ?? '' };

const places = (of?: readonly ChannelPositionJson[]): Record<string, Position> | undefined =>
  of && Object.fromEntries(of.map((p) => [p.channel ?? '', { offset: 0, epoch: '', ...place(p.position) }]));

const time = (timestamp?: string): number | undefined => (timestamp ? Date.parse(timestamp) : undefined);

/** A name without the prefix of its enum. */
const bare = (name = ''): string => name.replace(/^[A-Z]+_(REASON|ACTION)_/, '');

function data({
  json,
  text,
  binary,
  contentType,
}: PayloadJson = {}): Pick<Delivery, 'data' | 'encoding' | 'contentType'> {
  if (json) return { data: JSON.parse(json) };
  if (text !== undefined) return { data: text, encoding: 'text' };
  return binary === undefined ? { data: null } : { data: binary, encoding: 'base64', contentType };
}

function delivery({
  channel = '',
  id,
  payload,
  position,
  previousOffset,
  publishTime,
  entity,
  ...rest
}: MessageJson): Delivery {
  return {
    ...(rest as object),
    previousOffset: previousOffset === undefined ? undefined : Number(previousOffset),
    ...data(payload),
    ...place(position),
    channel,
    messageId: id,
    time: time(publishTime),
    ...(entity && {
      entity: entity.name,
      id: entity.id,
      timestamp: entity.timestamp,
      queryKeys: entity.queryKeysJson && JSON.parse(entity.queryKeysJson),
    }),
  };
}

function member({ enterTime, data: payload, user = '', sessions = 0 }: MemberJson = {}): MemberBody {
  return { user, since: time(enterTime) ?? 0, sessions, data: payload && data(payload).data };
}

/** A body in the vocabulary of the core. What it lacks is absent, but for what is zero. */
function plain({ channel, position, version, members, changes, error, ...rest }: Body): object {
  return {
    ...rest,
    ...(channel !== undefined && { for: channel }),
    offset: 0,
    ...place(position),
    position: place(position),
    requested: place(rest.requested),
    seen: places(rest.seen),
    reason: rest.reason && bare(rest.reason),
    total: rest.total ?? 0,
    version: Number(version?.number ?? 0),
    ...(version && { epoch: version.epoch }),
    limit: Number(rest.limit ?? 0),
    retryAfter: rest.retryAfter && Number.parseFloat(rest.retryAfter) * 1000,
    expires: time(rest.expireTime),
    members: members?.map(member),
    changes: changes?.map((c) => ({ action: bare(c.action).toLowerCase(), ...member(c.member) })),
    error: error && plain(error),
  };
}

/** Why a stream ended. */
export function errorBody({ details, code, message }: ConnectErrorJson): ErrorBody {
  const info = details?.find((detail) => detail.debug)?.debug;
  if (info) return plain(info as Body);
  return { reason: code === 'unauthenticated' ? 'UNAUTHENTICATED' : 'CONNECTION_LOST', message };
}

/** One item of a stream as frames. */
export function framesOf({ messages, heartbeat, commandId, ...notice }: SubscribeResponseJson): Frame[] {
  const answer = commandId && { id: Number(commandId) };
  return (
    messages?.map(delivery) ??
    Object.entries(notice).map(
      ([name, body]) => ({ ...plain(body as Body), ...answer, type: types[name] ?? name }) as Frame,
    )
  );
}
