import type { Client } from '../client.ts';
import { together, type Undo } from '../listeners.ts';

/** Tells a console what a client does. */
export function logTo({ debug, error }: Pick<Console, 'debug' | 'error'>, client: Client): Undo {
  let last = '';
  const undo = [
    client.onChange(() => {
      const { state, transport, attempt, error: cause } = client.getSnapshot();
      if (state !== last) debug('[millrace]', state, { transport, attempt, cause });
      last = state;
    }),
    client.onMessage((message) => debug('[millrace]', message.channel, message.data, message)),
    client.onError((cause) => error('[millrace]', cause)),
  ];
  return together(...undo);
}
