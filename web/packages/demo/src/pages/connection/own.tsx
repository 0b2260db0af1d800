import { RealtimeProvider } from '@millrace/client/realtime';
import type { ReactNode } from 'react';
import { tokenFor } from '../../visitor.ts';

/** A connection that is not the page's: another pool, another connection. */
export function Own({ pool, children }: { readonly pool: string; readonly children: ReactNode }): ReactNode {
  return <RealtimeProvider config={{ type: 'websocket', pool, token: tokenFor }}>{children}</RealtimeProvider>;
}
