import { type ReactNode, useEffect } from 'react';
import { start } from '../../document/sse-client.js';
import { ConsoleView } from '../../parts/console.tsx';

/** Runs the document's script while it is shown. */
export function Stream(): ReactNode {
  useEffect(start, []);
  return <ConsoleView />;
}
