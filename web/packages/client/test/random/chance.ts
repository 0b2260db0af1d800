/** Choices that a seed decides, so that what it found can be found again. */
export interface Chance {
  /** A number from 0 to below `n`. */
  below(n: number): number;
  /** Whether something happens that happens once in `n` times. */
  oneIn(n: number): boolean;
  pick<T>(of: readonly T[]): T | undefined;
}

/** Makes the choices of a seed (mulberry32). */
export function createChance(seed: number): Chance {
  let state = seed;
  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  const below = (n: number): number => Math.floor(next() * n);
  return { below, oneIn: (n) => below(n) === 0, pick: (of) => of[below(of.length)] };
}
