import type { Client, Position } from '@millrace/client';

/** What can be said of a channel by the positions of its messages alone. */
export interface Continuity {
  readonly received: number;
  readonly missed: number;
  readonly doubled: number;
  readonly gaps: number;
  readonly last: Position | undefined;
}

const nothing: Continuity = { received: 0, missed: 0, doubled: 0, gaps: 0, last: undefined };

/** Checks a channel for as long as somebody looks. */
export function watchContinuity(client: Client, name: string, changed: (now: Continuity) => void): () => void {
  let now = nothing;
  const set = (change: Partial<Continuity>): void => {
    now = { ...now, ...change };
    changed(now);
  };
  const channel = client.channel(name);
  const undo = [
    channel.subscribe((_, { position }) => {
      if (!position) return;
      const { last } = now;
      const step = last?.epoch === position.epoch ? position.offset - last.offset : 1;
      set({
        last: position,
        received: now.received + 1,
        missed: now.missed + Math.max(step - 1, 0),
        doubled: now.doubled + (step < 1 ? 1 : 0),
      });
    }),
    channel.onGap(({ position }) => set({ gaps: now.gaps + 1, last: position })),
  ];
  return () => {
    for (const each of undo) each();
  };
}
