import type { MemberBody, PresenceBody } from './wire.ts';

/** One user who is present. Three tabs of a user are one member. */
export interface Member<P = unknown> extends MemberBody {
  readonly data?: P;
}

/** Who is present in a channel at one moment. A new object after each change. */
export interface PresenceSnapshot<P = unknown> {
  /** By user. In a room that is too large to list it is empty; `total` counts. */
  readonly members: readonly Member<P>[];
  readonly total: number;
  /** Number of the state; -1 before anything is known. */
  readonly version: number;
}

/** Keeps the members of one channel. */
export interface Roster {
  snapshot(): PresenceSnapshot;
  /** Takes a snapshot or changes, and says whether anything is different. */
  apply(body: PresenceBody): boolean;
}

/** Makes the list of a channel of which nothing is known. */
export function createRoster(): Roster {
  let snapshot: PresenceSnapshot = { members: [], total: 0, version: -1 };
  let epoch: string | undefined;
  return {
    snapshot: () => snapshot,
    apply(body) {
      const { version, total, changes } = body;
      if (changes && body.epoch === epoch && version <= snapshot.version) return false;
      const members = new Map((changes ? snapshot.members : []).map((m) => [m.user, m]));
      for (const member of body.members ?? []) members.set(member.user, member);
      for (const { action, ...member } of changes ?? []) {
        if (action === 'leave') members.delete(member.user);
        else members.set(member.user, member);
      }
      epoch = body.epoch;
      snapshot = { members: [...members.values()], total, version };
      return true;
    },
  };
}
