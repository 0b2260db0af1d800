import { type Delivery, type Frame, type Notice, type Position, positionOf, type SubscribeCommand } from '../wire.ts';

/** How many messages of a subscription are kept, for tabs that come back. */
const keptMessages = 500;

/** A subscribe command of a tab. */
export type Wish = SubscribeCommand & { readonly id?: number | undefined };

/** A subscribe command under way. */
export interface Asking<Tab> {
  readonly tab: Tab;
  readonly wish: Wish;
  /** It goes on where the tabs are; this one begins with the newest messages, which are then read for it. */
  readonly replays: boolean;
}

/**
 * One subscription of the shared link: the tabs that share it, and its last messages. A tab that joins from a position within
 * those gets them from here; for any other start the subscription begins anew from there, and the tabs that are further drop what they have had.
 */
export interface Topic<Tab> {
  readonly tabs: Map<Tab, Wish>;
  /** Those that were told that they are subscribed: nothing comes before that. */
  readonly confirmed: Set<Tab>;
  /** Who waits for the answer to the subscribe command under way. */
  asking: Asking<Tab> | undefined;
  /** What the server applies: that of the tabs, if they have the same. */
  filter: Wish['filter'];
  /** Who was answered last: what it is told of a gap need not concern those who are further. */
  beganBy: Tab | undefined;
  /** Who comes after that. */
  readonly queue: { readonly tab: Tab; readonly wish: Wish }[];
  /** The place after the newest message, for who begins with live ones. */
  head(): Position | undefined;
  /** Takes the answer that it begins. */
  begin(notice: Extract<Notice, { type: 'subscribed' }>): void;
  keep(frame: Delivery | Extract<Notice, { type: 'checkpoint' | 'gap' }>): void;
  /** What was sent after a position, or `undefined` where that is not known. */
  since(position: Position): readonly Frame[] | undefined;
  /** Where each channel of a pattern is. */
  seen(): Readonly<Record<string, Position>>;
}

/** Makes the record of a subscription that nobody has yet. */
export function createTopic<Tab>(name: string): Topic<Tab> {
  const isPattern = /[*>]/.test(name);
  const latest = new Map<string, Position>();
  let kept: Frame[] = [];
  let start: Position | undefined; // everything after it is in `kept`
  let head: Position | undefined;
  const tabs = new Map<Tab, Wish>();

  return {
    tabs,
    confirmed: new Set(),
    asking: undefined,
    filter: undefined,
    beganBy: undefined,
    queue: [],
    head: () => head,
    begin(notice) {
      kept = [];
      start = positionOf(notice);
      const to = notice.head ?? start;
      if (!head || !to || head.epoch !== to.epoch || to.offset > head.offset) head = to;
    },
    keep(frame) {
      if ('channel' in frame) {
        const at = positionOf(frame);
        if (!at) return; // ephemeral: for those of the moment
        latest.set(frame.channel, at);
        if (!isPattern && !isBefore(at, head)) head = at;
      } else {
        const to = frame.type === 'gap' ? frame.position : positionOf(frame);
        if (frame.for === name) {
          start = head = to;
          kept = [];
          return;
        }
        if (to) latest.set(frame.for, to);
      }
      kept.push(frame);
      if (kept.length <= keptMessages) return;
      const [dropped] = kept.splice(0, 1);
      start = isPattern || !dropped || !('channel' in dropped) ? undefined : positionOf(dropped);
    },
    since(position) {
      if (!start || start.epoch !== position.epoch || position.offset < start.offset) return undefined;
      return kept.filter((f) => isPattern || !isBefore('offset' in f ? positionOf(f) : undefined, position, true));
    },
    seen: () => Object.fromEntries(latest),
  };
}

function isBefore(a: Position | undefined, b: Position | undefined, orThere = false): boolean {
  if (!a || !b || a.epoch !== b.epoch) return false;
  return a.offset < b.offset || (orThere && a.offset === b.offset);
}
