import { once } from 'node:events';
import { createServer } from 'node:net';

/** How many ports a worker of the tests has to itself. */
const each = 2000;

/** Below those that the system gives to whoever connects, so that nobody has the port of a server that is started again. */
let next = 10_000 + (Number(process.env.VITEST_POOL_ID ?? 0) % 10) * each + Math.floor(Math.random() * each);

/** A port that nobody listens on. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = next++;
    const probe = createServer().listen(port, '127.0.0.1');
    const free = await once(probe, 'listening').then(
      () => true,
      () => false,
    );
    probe.close();
    if (free) return port;
  }
}
