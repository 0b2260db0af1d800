import { useRealtimeContext } from '@millrace/client/react';
import type { ReactNode } from 'react';
import { Icon } from '../../shell/icons.tsx';

/** Pulls the plug, and puts it in again. */
export function Plug(): ReactNode {
  const { connectionState, connect, disconnect } = useRealtimeContext();
  const out = connectionState === 'disconnected';
  return (
    <button type="button" className="quiet" aria-pressed={out} onClick={out ? connect : disconnect}>
      <Icon name="plug" />
      {out ? 'Plug in' : 'Pull the plug'}
    </button>
  );
}
