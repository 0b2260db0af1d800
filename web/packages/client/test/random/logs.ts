import { matches } from '../../src/names.ts';
import type { Delivery, Notice, Position, SubscribeCommand } from '../../src/wire.ts';

/** A message, where it is, and its number among all of the server, by which patterns resume. */
export interface Placed extends Delivery {
  readonly offset: number;
  readonly epoch: string;
  readonly sequence: number;
}

/** What a subscription begins with. */
export interface Beginning {
  readonly at: Position;
  readonly resumed: boolean;
  readonly frames: readonly (Placed | Extract<Notice, { type: 'gap' }>)[];
}

/** The channels of the server, with everything that was ever placed in them. */
export interface Logs {
  readonly channels: ReadonlyMap<string, readonly Placed[]>;
  /** Where a channel or a pattern is. */
  position(name: string): Position;
  add(message: Delivery): { readonly message: Placed; readonly duplicate: boolean };
  begin(command: SubscribeCommand): Beginning;
  /** The newest messages that are kept, newest first. */
  newest(channel: string, limit: number): readonly Placed[];
  /** Forgets what is kept of a channel. */
  trim(channel: string): void;
  /** Whether anything was forgotten. */
  readonly forgot: boolean;
  /** Every channel begins again, in another epoch. */
  restart(): void;
}

export const isPattern = (name: string): boolean => /[*>]/.test(name);

/** Makes channels without messages. */
export function createLogs(names: readonly string[]): Logs {
  const channels = new Map(names.filter((name) => !isPattern(name)).map((name) => [name, [] as Placed[]]));
  const low = new Map<string, number>(); // offset of the first that is kept
  const ids = new Map<string, Placed>();
  let epoch = 'e1';
  let sequence = 0;
  let forgot = false;

  const of = (channel: string): Placed[] => (channels.get(channel) ?? []).filter((m) => m.epoch === epoch);
  const kept = (channel: string): Placed[] => of(channel).filter((m) => m.offset >= (low.get(channel) ?? 1));
  const position = (name: string): Position => ({
    offset: isPattern(name) ? sequence : of(name).length,
    epoch,
  });

  /** What of a channel comes after a position: the table of resuming. */
  function after(channel: string, since: Position, onGap: SubscribeCommand['onGap'] = 'latest'): Beginning {
    const head = position(channel);
    const reason = since.epoch !== epoch ? 'EPOCH_CHANGED' : since.offset < head.offset && missing(channel, since);
    if (!reason) return { at: since, resumed: true, frames: kept(channel).filter((m) => m.offset > since.offset) };
    const frames = onGap === 'oldest' ? kept(channel) : [];
    const at = { offset: head.offset - frames.length, epoch };
    const gap = { type: 'gap', for: channel, reason, requested: since, position: at } as const;
    return { at, resumed: false, frames: [gap, ...frames] };
  }
  function missing(channel: string, since: Position): string | undefined {
    return since.offset < (low.get(channel) ?? 1) - 1 ? 'TRUNCATED' : undefined;
  }

  function resumePattern({ channel: pattern, since, seen = {} }: SubscribeCommand): Beginning {
    const at = position(pattern);
    if (!since) return { at, resumed: false, frames: [] };
    if (since.epoch !== epoch)
      return {
        at,
        resumed: false,
        frames: [{ type: 'gap', for: pattern, reason: 'EPOCH_CHANGED', requested: since, position: at }],
      };
    const frames = [...channels.keys()]
      .filter((channel) => matches(pattern, channel))
      .flatMap((channel) => {
        const first = of(channel).find((m) => m.sequence > since.offset)?.offset ?? of(channel).length + 1;
        return after(channel, seen[channel] ?? { offset: first - 1, epoch }).frames;
      })
      .map((frame) => ({ ...frame, pattern }));
    return { at: since, resumed: true, frames };
  }

  return {
    channels,
    position,
    get forgot() {
      return forgot;
    },
    add(body) {
      const before = body.messageId === undefined ? undefined : ids.get(body.messageId);
      if (before) return { message: before, duplicate: true };
      const message = { ...body, offset: of(body.channel).length + 1, epoch, sequence: ++sequence };
      channels.get(body.channel)?.push(message);
      if (body.messageId !== undefined) ids.set(body.messageId, message);
      return { message, duplicate: false };
    },
    begin(command) {
      const { channel, since, recent = 0 } = command;
      if (isPattern(channel)) return resumePattern(command);
      if (since) return after(channel, since, command.onGap);
      const frames = recent > 0 ? kept(channel).slice(-recent) : [];
      return { at: { offset: of(channel).length - frames.length, epoch }, resumed: false, frames };
    },
    newest: (channel, limit) => kept(channel).slice(-limit).toReversed(),
    trim(channel) {
      low.set(channel, of(channel).length + 1);
      forgot = true;
    },
    restart() {
      epoch = `e${Number(epoch.slice(1)) + 1}`;
      low.clear();
      ids.clear();
    },
  };
}
