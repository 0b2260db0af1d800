import { createElement, type ReactElement, type ReactNode } from 'react';
import { useCacheStrategies } from '../query/hook.ts';
import type { CacheUpdateStrategy } from '../query/strategies.ts';
import type { RealtimeConfig } from '../react/config.ts';
import { RealtimeProvider as Provider } from '../react/provider.ts';

/** Which wire. */
export type RealtimeConnectionType = 'websocket' | 'sse';

/** How {@link RealtimeProvider} connects, and what it keeps up to date. */
export interface RealtimeProviderConfig extends RealtimeConfig {
  /** How entity events reach the query cache of the application. */
  readonly cacheStrategies?: readonly CacheUpdateStrategy[] | undefined;
}

/** Props of {@link RealtimeProvider}. `url`, `onConnect` and `onDisconnect` may stand beside `config`. */
export interface RealtimeProviderProps extends Pick<RealtimeConfig, 'url' | 'onConnect' | 'onDisconnect'> {
  readonly children?: ReactNode;
  readonly config?: RealtimeProviderConfig;
}

const none: readonly CacheUpdateStrategy[] = [];

/** Gives its children a connection, and the application's query cache what comes over it. */
export function RealtimeProvider({ children, config, ...beside }: RealtimeProviderProps): ReactElement {
  const all: RealtimeProviderConfig = { ...config, ...beside };
  return createElement(
    Provider,
    { config: all },
    createElement(Strategies, { strategies: all.cacheStrategies ?? none }),
    children,
  );
}

function Strategies({ strategies }: { readonly strategies: readonly CacheUpdateStrategy[] }): null {
  useCacheStrategies(strategies);
  return null;
}
