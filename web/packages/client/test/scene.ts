import { afterEach, beforeEach, vi } from 'vitest';
import { type Client, type ClientOptions, createClient } from '../src/index.ts';
import { type FakeTransport, fakeTransport } from './fake.ts';

/** A client, on a transport whose server is the test, in a time of its own and without chance. */
export interface Scene {
  readonly transport: FakeTransport;
  connected(options?: Partial<ClientOptions>): Promise<Client>;
  /** Loses the link and has another one. */
  reconnected(): Promise<void>;
}

/** Sets a scene for each test of a file. */
export function setScene(): Scene {
  let transport: FakeTransport;
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, 'random').mockReturnValue(0);
    transport = fakeTransport();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  });
  return {
    get transport() {
      return transport;
    },
    async connected(options = {}) {
      const client = createClient({ transports: [transport], ...options });
      client.connect();
      await settle();
      transport.link().open();
      return client;
    },
    async reconnected() {
      transport.link().drop();
      await vi.advanceTimersByTimeAsync(3000);
      transport.link().open();
    },
  };
}

/** Lets happen what is to happen now. */
export const settle = () => vi.advanceTimersByTimeAsync(0);
