/** Whether attempts are let through. */
export type CircuitState = 'closed' | 'open' | 'half-open';

/** What a breaker knows of a connection. */
export type RealtimeConnectionState =
  | 'disconnected'
  | 'connecting'
  | 'connected'
  | 'reconnecting'
  | 'circuit_open'
  | 'degraded';

/** Numbers of a breaker; times are in milliseconds. */
export interface RealtimeCircuitBreakerConfig {
  /** Failures that open it. Default 3. */
  readonly failureThreshold?: number;
  /** Successes after which a half-open one closes. Default 1. */
  readonly successThreshold?: number;
  /** How long it stays open. Default 5 minutes. */
  readonly resetTimeout?: number;
  /** How long a failure counts. Default 1 minute. */
  readonly failureWindow?: number;
  /** How long an attempt may take. Default 10 s, for SSE 15 s. */
  readonly connectionTimeout?: number;
  /** Whether `startHealthCheck` does anything. Default true. */
  readonly healthCheckEnabled?: boolean;
  /** Time between checks. Default 1 minute. */
  readonly healthCheckInterval?: number;
  onStateChange?(from: CircuitState, to: CircuitState): void;
  onCircuitOpen?(): void;
  onCircuitRecovery?(): void;
}

/** What happened so far. */
export interface RealtimeConnectionMetrics {
  readonly consecutiveFailures: number;
  readonly totalFailures: number;
  readonly totalSuccesses: number;
  readonly lastFailureTime: Date | null;
  readonly lastSuccessTime: Date | null;
  readonly circuitState: CircuitState;
  readonly connectionState: RealtimeConnectionState;
  /** Mean of the last ten, in milliseconds. */
  readonly averageReconnectTime: number;
}

/** An attempt took too long. */
export class ConnectionTimeoutError extends Error {
  override readonly name = 'ConnectionTimeoutError';
  readonly isConnectionTimeout = true;
}

const defaults = {
  failureThreshold: 3,
  successThreshold: 1,
  resetTimeout: 300_000,
  failureWindow: 60_000,
  connectionTimeout: 10_000,
  healthCheckEnabled: true,
  healthCheckInterval: 60_000,
};

/**
 * Stops attempts after failures, for code that makes its own connections. The clients of this package have their own policy and do
 * not need one.
 */
export class RealtimeCircuitBreaker {
  readonly #config: typeof defaults & RealtimeCircuitBreakerConfig;
  #circuit: CircuitState = 'closed';
  #connection: RealtimeConnectionState = 'disconnected';
  #failures: number[] = []; // when those were that count
  #successes = 0; // since it was half open
  #openedAt = 0;
  #startedAt = 0;
  #times: number[] = []; // how long the last attempts took
  #metrics = {
    consecutiveFailures: 0,
    totalFailures: 0,
    totalSuccesses: 0,
    lastFailureTime: null as Date | null,
    lastSuccessTime: null as Date | null,
  };
  #checks: ReturnType<typeof setInterval> | undefined;

  constructor(config: RealtimeCircuitBreakerConfig = {}) {
    this.#config = { ...defaults, ...config };
  }

  getCircuitState(): CircuitState {
    if (this.#circuit === 'open' && Date.now() - this.#openedAt >= this.#config.resetTimeout) this.#move('half-open');
    return this.#circuit;
  }

  getConnectionState(): RealtimeConnectionState {
    return this.#connection;
  }

  canConnect(): boolean {
    return !this.isCircuitOpen();
  }

  isCircuitOpen(): boolean {
    return this.getCircuitState() === 'open';
  }

  /** Makes an attempt, and counts how it ends. */
  async connect<T>(
    factory: () => Promise<T>,
    { timeout = this.#config.connectionTimeout }: { readonly timeout?: number } = {},
  ): Promise<T> {
    if (this.isCircuitOpen()) {
      this.#connection = 'circuit_open';
      throw new Error('the breaker is open');
    }
    this.#connection = 'connecting';
    this.#startedAt = Date.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new ConnectionTimeoutError()), timeout);
    });
    try {
      const connection = await Promise.race([factory(), late]);
      this.recordSuccess();
      return connection;
    } catch (error) {
      this.recordFailure();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  recordSuccess(): void {
    const metrics = this.#metrics;
    metrics.consecutiveFailures = 0;
    metrics.totalSuccesses++;
    metrics.lastSuccessTime = new Date();
    this.#connection = 'connected';
    if (this.#startedAt) this.#times = [...this.#times.slice(-9), Date.now() - this.#startedAt];
    this.#failures = [];
    if (this.getCircuitState() === 'half-open' && ++this.#successes >= this.#config.successThreshold)
      this.#move('closed');
  }

  recordFailure(): void {
    const metrics = this.#metrics;
    const now = Date.now();
    metrics.consecutiveFailures++;
    metrics.totalFailures++;
    metrics.lastFailureTime = new Date(now);
    this.#failures = [...this.#failures.filter((at) => now - at < this.#config.failureWindow), now];
    if (this.getCircuitState() === 'half-open' || this.#failures.length >= this.#config.failureThreshold)
      this.#move('open');
    this.#connection = this.#circuit === 'open' ? 'circuit_open' : 'reconnecting';
  }

  /** A connection ended, which need not be a failure. */
  recordDisconnect(): void {
    if (this.#connection === 'connected') this.#connection = 'disconnected';
  }

  getMetrics(): RealtimeConnectionMetrics {
    return {
      ...this.#metrics,
      circuitState: this.getCircuitState(),
      connectionState: this.#connection,
      averageReconnectTime: this.#times.reduce((sum, time) => sum + time, 0) / (this.#times.length || 1),
    };
  }

  /** Checks a connection now and then; one that fails is `degraded` until a check passes. */
  startHealthCheck(check: () => Promise<boolean>): void {
    if (!this.#config.healthCheckEnabled) return;
    this.#checks ??= setInterval(async () => {
      const isHealthy = await check().catch(() => false);
      if (this.#connection === (isHealthy ? 'degraded' : 'connected'))
        this.#connection = isHealthy ? 'connected' : 'degraded';
    }, this.#config.healthCheckInterval);
  }

  stopHealthCheck(): void {
    clearInterval(this.#checks);
    this.#checks = undefined;
  }

  /** Closes it, and forgets failures. */
  reset(): void {
    this.#failures = [];
    this.#metrics.consecutiveFailures = 0;
    this.#connection = 'disconnected';
    this.#move('closed');
  }

  /** Lets nothing through any more. */
  dispose(): void {
    this.#circuit = 'open';
    this.#openedAt = Number.POSITIVE_INFINITY;
    this.stopHealthCheck();
    this.#connection = 'disconnected';
  }

  #move(to: CircuitState): void {
    const from = this.#circuit;
    if (from === to) return;
    this.#circuit = to;
    this.#successes = 0;
    this.#openedAt = Date.now(); // counts while it is open
    this.#config.onStateChange?.(from, to);
    if (to === 'open') this.#config.onCircuitOpen?.();
    else if (to === 'closed') this.#config.onCircuitRecovery?.();
  }
}

/** A breaker for WebSockets. */
export function createWebSocketCircuitBreaker(config?: RealtimeCircuitBreakerConfig): RealtimeCircuitBreaker {
  return new RealtimeCircuitBreaker(config);
}

/** A breaker for Server-Sent Events. */
export function createSSECircuitBreaker(config?: RealtimeCircuitBreakerConfig): RealtimeCircuitBreaker {
  return new RealtimeCircuitBreaker({ connectionTimeout: 15_000, ...config });
}

const breakers = new Map<string, RealtimeCircuitBreaker>();

/** The breaker of a name, made when it is first asked for. */
export function getRealtimeCircuitBreaker(name: string, config?: RealtimeCircuitBreakerConfig): RealtimeCircuitBreaker {
  let breaker = breakers.get(name);
  if (!breaker) {
    breaker = new RealtimeCircuitBreaker(config);
    breakers.set(name, breaker);
  }
  return breaker;
}

/** Resets every breaker that has a name. */
export function resetAllRealtimeCircuitBreakers(): void {
  for (const breaker of breakers.values()) breaker.reset();
}

/** What happened so far, by name. */
export function getAllRealtimeCircuitBreakerMetrics(): Record<string, RealtimeConnectionMetrics> {
  return Object.fromEntries([...breakers].map(([name, breaker]) => [name, breaker.getMetrics()]));
}

/** Disposes of every breaker that has a name, and forgets them. */
export function disposeAllRealtimeCircuitBreakers(): void {
  for (const breaker of breakers.values()) breaker.dispose();
  breakers.clear();
}
