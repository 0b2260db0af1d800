/**
 * What passes between a client and its server, and buttons that break it.
 *
 * ```tsx
 * const devtools = createDevtools();
 * const client = createClient({ transports: devtools.wrap([websocket('/ws')]) });
 * <RealtimeDevtools devtools={devtools} client={client} />
 * ```
 *
 * It promises:
 * - An application that does not render the panel does not load it.
 * - Faults are made below the client, so it behaves as it would with a network that fails so.
 *
 * @module
 */
import { createElement, lazy, type ReactElement, Suspense } from 'react';
import type { PanelProps } from './panel.ts';

export type { PanelProps } from './panel.ts';
export { createDevtools, type Devtools, type DevtoolsSnapshot, type Entry, type Faults } from './recorder.ts';

const Panel = lazy(() => import('./panel.ts'));

/** The panel, which is loaded when it is rendered. */
export function RealtimeDevtools(props: PanelProps): ReactElement {
  return createElement(Suspense, { fallback: null }, createElement(Panel, props));
}
