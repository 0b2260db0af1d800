import type { Delivery, Notice, Position, SubscribeCommand } from '../wire.ts';

/** One channel of the fake server: its messages, and where it is. */
export interface Log {
  position(): Position;
  /** Adds a message, or finds the one that has its id. */
  add(message: Omit<Delivery, 'offset' | 'epoch'>): { readonly message: Delivery; readonly duplicate: boolean };
  /** Where a subscription begins, and what it gets at once: the table of resuming, as the server has it. */
  begin(wish: Pick<SubscribeCommand, 'since' | 'recent'>): {
    readonly at: Position;
    readonly resumed: boolean;
    readonly gap: Extract<Notice, { type: 'gap' }> | undefined;
    readonly messages: readonly Delivery[];
  };
  messages(): readonly Delivery[];
  /** Forgets all but the newest messages. */
  trim(keep: number): void;
}

/** Makes an empty channel. */
export function createLog(name: string, epoch: string): Log {
  let messages: readonly Delivery[] = [];
  let head = 0;
  const ids = new Map<string, Delivery>();
  const low = (): number => messages[0]?.offset ?? head + 1;

  return {
    position: () => ({ offset: head, epoch }),
    add(body) {
      const before = body.messageId === undefined ? undefined : ids.get(body.messageId);
      if (before) return { message: before, duplicate: true };
      const message = { ...body, offset: ++head, epoch };
      messages = [...messages, message];
      if (body.messageId !== undefined) ids.set(body.messageId, message);
      return { message, duplicate: false };
    },
    begin({ since, recent = 0 }) {
      const after = (offset: number): readonly Delivery[] => messages.filter((m) => (m.offset ?? 0) > offset);
      if (!since) {
        const newest = recent > 0 ? messages.slice(-recent) : [];
        const at = { offset: (newest[0]?.offset ?? head + 1) - 1, epoch };
        return { at, resumed: false, gap: undefined, messages: newest };
      }
      const reason = reasonOfGap(since);
      if (!reason) return { at: since, resumed: true, gap: undefined, messages: after(since.offset) };
      const position = { offset: head, epoch };
      return {
        at: position,
        resumed: false,
        gap: { type: 'gap', for: name, reason, requested: since, position },
        messages: [],
      };
    },
    messages: () => messages,
    trim(keep) {
      messages = keep > 0 ? messages.slice(-keep) : [];
    },
  };

  function reasonOfGap({ offset, epoch: of }: Position): string | undefined {
    if (of !== epoch) return 'EPOCH_CHANGED';
    if (offset > head) return 'DIVERGED';
    return offset < low() - 1 ? 'TRUNCATED' : undefined;
  }
}
