/** On a server a page is rendered as it begins, and nothing connects. */
import { createElement, type ReactNode } from 'react';
import { renderToString } from 'react-dom/server';
import { expect, it } from 'vitest';
import * as react from '../src/react/index.ts';
import * as realtime from '../src/realtime/index.ts';
import { fakeTransport } from './fake.ts';

/** Renders with a provider that would connect, and says how often it has tried. */
function render(Component: () => ReactNode): { readonly html: string; readonly links: number } {
  const transport = fakeTransport();
  const provider = createElement(
    react.RealtimeProvider,
    { config: { transports: [transport] } },
    createElement(Component),
  );
  return { html: renderToString(provider), links: transport.links.length };
}

it.each<[string, () => unknown, unknown]>([
  ['useConnection', () => react.useConnection((snapshot) => snapshot.state), 'disconnected'],
  ['useRealtimeContext', () => react.useRealtimeContext().isConnected, false],
  ['useChannel', () => react.useChannel('chat', () => {}), undefined],
  ['useChannelState', () => react.useChannelState('chat', (n: number) => n + 1, 7), 7],
  ['useLatest', () => react.useLatest('chat') ?? null, null],
  ['useMessages', () => react.useMessages('chat').messages, []],
  ['usePublish', () => react.usePublish('chat').pending, 0],
  ['usePresence', () => react.usePresence('room', 'me').members, []],
  ['useTyping', () => react.useTyping('chat', 'ada').typing, []],
  ['useRealtimeStream', () => realtime.useRealtimeStream('chat').messages, []],
  ['useBufferedRealtimeStream', () => realtime.useBufferedRealtimeStream('chat').lastMessage, null],
  ['useMultiRealtimeStream', () => realtime.useMultiRealtimeStream(['a', 'b']).channelCount, 2],
  ['useRealtimeConnection', () => realtime.useRealtimeConnection().connectionState, 'disconnected'],
  ['useRealtimePresence', () => realtime.useRealtimePresence('room'), { users: [], count: 0 }],
])('%s is rendered on a server', (_, use, begins) => {
  let value: unknown;
  const { html, links } = render(() => {
    value = use();
    return createElement('p', null, 'rendered');
  });
  expect(html).toBe('<p>rendered</p>');
  expect(value).toEqual(begins);
  expect(links).toBe(0);
});

it('two requests of a server share no client', () => {
  const clients: unknown[] = [];
  for (let i = 0; i < 2; i++)
    renderToString(
      createElement(
        realtime.RealtimeProvider,
        { config: { type: 'websocket', url: 'http://127.0.0.1/ws' } },
        createElement(() => {
          clients.push(react.useRealtimeClient());
          return null;
        }),
      ),
    );
  expect(clients[0]).not.toBe(clients[1]);
});
