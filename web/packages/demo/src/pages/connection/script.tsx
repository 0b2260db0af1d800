import { type ReactNode, useEffect } from 'react';
import { start } from '../../document/websocket-client.js';
import { ConsoleView } from '../../parts/console.tsx';

/** Runs the document's script while it is shown. The server joins every session of `/ws` to `demo.pulse`. */
export function Script(): ReactNode {
  useEffect(start, []);
  return <ConsoleView />;
}
