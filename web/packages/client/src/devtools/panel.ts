import { type CSSProperties, createElement, type ReactElement, useEffect, useState, useSyncExternalStore } from 'react';
import type { Client } from '../client.ts';
import type { Devtools, Entry } from './recorder.ts';

/** Props of the panel. */
export interface PanelProps {
  readonly devtools: Devtools;
  readonly client: Client;
  /** Default false: a button in the corner opens it, as far from the bottom as the CSS property `--realtime-devtools-bottom` says. */
  readonly initialIsOpen?: boolean;
}

const kinds = ['in', 'out', 'link', 'state'] as const;
const signs: Readonly<Record<Entry['kind'], string>> = { in: '↓', out: '↑', link: '⚡', state: '●' };
const colors: Readonly<Record<Entry['kind'], string>> = {
  in: '#7ee787',
  out: '#79c0ff',
  link: '#ffa657',
  state: '#d2a8ff',
};
const stateColors: Readonly<Record<string, string>> = {
  connected: '#3fb950',
  connecting: '#d29922',
  reconnecting: '#d29922',
  disconnected: '#8b949e',
  error: '#f85149',
};

const font = '12px/1.5 ui-monospace, monospace';
const panel: CSSProperties = {
  position: 'fixed',
  inset: 'auto 0 0 0',
  height: '40vh',
  display: 'flex',
  flexDirection: 'column',
  background: '#0d1117',
  color: '#c9d1d9',
  font,
  borderTop: '1px solid #30363d',
  zIndex: 99999,
};
const bar: CSSProperties = { display: 'flex', flexWrap: 'wrap', gap: 6, alignItems: 'center', padding: 6 };
const button: CSSProperties = {
  font: 'inherit',
  color: 'inherit',
  background: '#21262d',
  border: '1px solid #30363d',
  borderRadius: 4,
  padding: '2px 8px',
  cursor: 'pointer',
};
/** Where the closed panel is. A page that has something of its own there moves it with the custom property. */
const corner: CSSProperties = {
  position: 'fixed',
  right: 12,
  bottom: 'var(--realtime-devtools-bottom, 12px)',
  background: '#0d1117',
  font,
  zIndex: 99999,
};
const pressed: CSSProperties = { ...button, background: '#9e6a03' };
const list: CSSProperties = { flex: 1, overflow: 'auto', margin: 0, padding: '0 6px', listStyle: 'none' };
const line: CSSProperties = {
  display: 'flex',
  gap: 8,
  whiteSpace: 'pre',
  overflow: 'hidden',
  textOverflow: 'ellipsis',
};

/** The log of frames, the states over time, and buttons that break the connection. */
export default function Panel({ devtools, client, initialIsOpen = false }: PanelProps): ReactElement {
  const [isOpen, setIsOpen] = useState(initialIsOpen);
  const [shown, setShown] = useState<ReadonlySet<string>>(new Set(kinds));
  const [search, setSearch] = useState('');
  const { entries, faults, links } = useSyncExternalStore(
    devtools.onChange,
    devtools.getSnapshot,
    devtools.getSnapshot,
  );
  const { state, transport, queued } = useSyncExternalStore(client.onChange, client.getSnapshot, client.getSnapshot);
  useEffect(() => devtools.watch(client), [devtools, client]);

  const press = (label: string, onClick: () => void, isPressed?: boolean): ReactElement =>
    createElement(
      'button',
      { key: label, type: 'button', onClick, style: isPressed ? pressed : button, 'aria-pressed': isPressed },
      label,
    );
  const title = `${state} · ${transport || 'no transport'} · ${links} ${links === 1 ? 'link' : 'links'} · ${queued} queued`;
  const status = createElement('strong', { key: 'state', style: { color: stateColors[state] } }, title);
  if (!isOpen)
    return createElement(
      'button',
      {
        type: 'button',
        onClick: () => setIsOpen(true),
        'aria-label': 'Open the real-time devtools',
        style: { ...button, ...corner },
      },
      status,
    );

  const toggle = (kind: string): void => {
    const next = new Set(shown);
    if (!next.delete(kind)) next.add(kind);
    setShown(next);
  };
  const visible = entries.filter(({ kind, text }) => shown.has(kind) && text.includes(search));
  return createElement(
    'section',
    { style: panel, 'aria-label': 'Real-time devtools' },
    createElement(
      'div',
      { style: bar },
      status,
      press('Drop', () => devtools.drop()),
      press('Half-open', () => devtools.set({ silent: !faults.silent }), faults.silent),
      press('Slow', () => devtools.set({ delay: faults.delay > 0 ? 0 : 1000 }), faults.delay > 0),
      press('Refuse', () => devtools.set({ refuse: !faults.refuse }), faults.refuse),
      press('Expire token', () => devtools.drop({ reason: 'EXPIRED' })),
      press('Drain', devtools.drain),
      press('Reject', () => devtools.drop({ reason: 'FORBIDDEN' })),
      press(
        state === 'disconnected' ? 'Connect' : 'Disconnect',
        state === 'disconnected' ? client.connect : client.disconnect,
      ),
      createElement('span', { key: 'space', style: { flex: 1 } }),
      press('Clear', devtools.clear),
      press('Close', () => setIsOpen(false)),
    ),
    createElement(Timeline, { entries }),
    createElement(
      'div',
      { style: bar },
      ...kinds.map((kind) => press(`${signs[kind]} ${kind}`, () => toggle(kind), shown.has(kind))),
      createElement('input', {
        key: 'search',
        value: search,
        placeholder: 'filter',
        'aria-label': 'Filter frames',
        onChange: (event: { readonly currentTarget: { readonly value: string } }) =>
          setSearch(event.currentTarget.value),
        style: { ...button, cursor: 'text', flex: 1 },
      }),
    ),
    createElement(
      'ol',
      { style: list },
      visible
        .toReversed()
        .map(({ number, time, kind, text }) =>
          createElement(
            'li',
            { key: number, style: line, title: text },
            createElement('span', { style: { color: '#8b949e' } }, new Date(time).toISOString().slice(11, 23)),
            createElement('span', { style: { color: colors[kind] } }, `${signs[kind]} ${text}`),
          ),
        ),
    ),
  );
}

/** How long the time line is, in milliseconds. */
const span = 60_000;

/** The states of the last minute, as a band. */
function Timeline({ entries }: { readonly entries: readonly Entry[] }): ReactElement {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const states = entries.filter(({ kind }) => kind === 'state');
  const parts = states.map(({ number, time, text }, i) => {
    const from = Math.max(time, now - span);
    const to = Math.max(states[i + 1]?.time ?? now, from);
    const name = text.split(',', 1)[0] ?? '';
    return createElement('span', {
      key: number,
      title: text,
      style: { width: `${((to - from) / span) * 100}%`, background: stateColors[name] },
    });
  });
  return createElement(
    'div',
    {
      role: 'img',
      'aria-label': 'States of the last minute',
      style: { display: 'flex', justifyContent: 'flex-end', height: 8 },
    },
    ...parts,
  );
}
