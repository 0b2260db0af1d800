import { type Client, createClient } from '../client.ts';
import { clientOptions, type RealtimeConfig } from './config.ts';

/** A client, and what those who share it want of it: the config of who rendered last. */
export interface Pooled {
  readonly key: string | undefined;
  readonly client: Client;
  config: RealtimeConfig;
}

/** What this page connects to. */
const pool = new Map<string, Pooled>();

/** Where a config connects to, as one text; `undefined` for a connection of its own. */
export function poolKey({ type = 'websocket', url, pool: name = '', transports }: RealtimeConfig): string | undefined {
  return name === false || transports ? undefined : JSON.stringify([type, url, name]);
}

/**
 * The client of a config. Those of a page with the same key share it, and so its connection. On a server, where pages of many
 * users are rendered, nobody shares.
 */
export function pooled(config: RealtimeConfig): Pooled {
  const key = poolKey(config);
  const there = key === undefined ? undefined : pool.get(key);
  if (there) return there;
  const made: Pooled = { key, config, client: createClient(clientOptions(config, () => made.config)) };
  if (key !== undefined && typeof document !== 'undefined') pool.set(key, made);
  return made;
}
