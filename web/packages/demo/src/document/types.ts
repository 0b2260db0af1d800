/** The interfaces as the document has them. What fits them must fit ours: see the last lines. */
import type * as ours from '@millrace/client/realtime';

interface RealtimeProviderConfig {
  // Connection type
  type: 'websocket' | 'sse';

  // Connection URL
  url?: string;

  // Auto-connect on mount
  autoConnect?: boolean;

  // Cache update strategies
  cacheStrategies?: CacheUpdateStrategy[];
}

interface CacheUpdateStrategy {
  // Entity type (e.g., 'user', 'post')
  entity: string;

  // How to update cache
  updateType: 'merge' | 'replace' | 'append' | 'remove';

  // React Query key
  queryKey: unknown[];

  // Transform data before updating
  transform?: (data: unknown) => unknown;
}

export const config = (documented: RealtimeProviderConfig): ours.RealtimeProviderConfig => documented;
export const strategy = (documented: CacheUpdateStrategy): ours.CacheUpdateStrategy => documented;
