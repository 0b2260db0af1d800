/**
 * Feature flags that turn the connection on and off: give one as `enabled` of a provider.
 *
 * It promises:
 * - Without a flag provider, or before it is ready, the fallback counts, and nothing throws.
 * - A flag that turns is followed at once: off disconnects, on resumes where it was.
 *
 * @module
 */
import { type FlagSource, isOn } from '../flag.ts';

export type { FlagSource } from '../flag.ts';
export { isOn };

/** The flag of existing applications. */
export const realTimeUpdates = 'real-time-updates';

/** What is needed of a client of the OpenFeature Web SDK. */
export interface OpenFeatureClient {
  getBooleanValue(key: string, fallback: boolean): boolean;
  addHandler(event: never, handler: () => void): void;
  removeHandler(event: never, handler: () => void): void;
}

/** What may change the value of a flag: `ProviderEvents` of OpenFeature. */
const events = [
  'PROVIDER_READY',
  'PROVIDER_ERROR',
  'PROVIDER_STALE',
  'PROVIDER_CONFIGURATION_CHANGED',
  'PROVIDER_CONTEXT_CHANGED',
] as const;

/** A flag of OpenFeature: `openFeature(OpenFeature.getClient())`. */
export function openFeature(client: OpenFeatureClient, key: string = realTimeUpdates, fallback = true): FlagSource {
  return {
    get() {
      try {
        return client.getBooleanValue(key, fallback);
      } catch {
        return fallback;
      }
    },
    subscribe(listener) {
      for (const event of events) client.addHandler(event as never, listener);
      return () => {
        for (const event of events) client.removeHandler(event as never, listener);
      };
    },
  };
}

/** A flag that code turns, for applications with another kind of flags, and for tests. */
export interface Switch extends FlagSource {
  set(on: boolean): void;
}

/** Makes a switch. */
export function createSwitch(on = true): Switch {
  const listeners = new Set<() => void>();
  return {
    get: () => on,
    set(value) {
      if (value === on) return;
      on = value;
      for (const listener of [...listeners]) listener();
    },
    subscribe(listener) {
      const call = (): void => listener();
      listeners.add(call);
      return () => listeners.delete(call);
    },
  };
}
