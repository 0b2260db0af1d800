import type { Undo } from './listeners.ts';

/** A switch that somebody else turns: a feature flag. */
export interface FlagSource {
  get(): boolean;
  /** Is told of each turn. */
  subscribe(listener: () => void): Undo;
}

/** Reads a switch, a plain value, or nothing, which is on. */
export function isOn(flag: boolean | FlagSource | undefined): boolean {
  return typeof flag === 'object' ? flag.get() : (flag ?? true);
}
