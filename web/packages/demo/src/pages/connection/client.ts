import { backoff, type Client, connectStream, createClient, fastBackoff, sse, websocket } from '@millrace/client';
import { tokenFor } from '../../visitor.ts';
import { type FrameLog, logged } from './logged.ts';

const transports = {
  WebSocket: [websocket('/ws')],
  'Connect stream': [connectStream('/')],
  'Server-Sent Events': [sse('/events')],
  'whatever passes': [websocket('/ws'), connectStream('/'), sse('/events')],
} as const;

export type Way = keyof typeof transports;
export const ways = Object.keys(transports) as readonly Way[];

const schedules = { fast: fastBackoff({ max: 3000 }), documented: backoff() } as const;

export type Schedule = keyof typeof schedules;
export const pace = Object.keys(schedules) as readonly Schedule[];

/** A client of this page alone. It asks often whether the server is there, so that a silent network is noticed soon. */
export function createMonitored(way: Way, schedule: Schedule, log: FrameLog): Client {
  return createClient({
    transports: transports[way].map((transport) => logged(transport, log)),
    token: tokenFor,
    reconnect: schedules[schedule],
    heartbeat: { interval: 2000, timeout: 2000 },
  });
}
