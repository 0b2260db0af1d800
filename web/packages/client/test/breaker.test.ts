import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  ConnectionTimeoutError,
  createSSECircuitBreaker,
  createWebSocketCircuitBreaker,
  disposeAllRealtimeCircuitBreakers,
  getAllRealtimeCircuitBreakerMetrics,
  getRealtimeCircuitBreaker,
  RealtimeCircuitBreaker,
  resetAllRealtimeCircuitBreakers,
} from '../src/realtime/index.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  disposeAllRealtimeCircuitBreakers();
  vi.useRealTimers();
});

const refused = new Error('refused');
const fails = (): Promise<never> => Promise.reject(refused);

/** A breaker that is open, because everything failed. */
async function opened(config: ConstructorParameters<typeof RealtimeCircuitBreaker>[0] = {}) {
  const breaker = new RealtimeCircuitBreaker(config);
  for (let i = 0; i < (config.failureThreshold ?? 3); i++) await expect(breaker.connect(fails)).rejects.toBe(refused);
  return breaker;
}

describe('a circuit breaker', () => {
  it('gives what the factory gives', async () => {
    const breaker = new RealtimeCircuitBreaker();
    expect(breaker.getConnectionState()).toBe('disconnected');
    const connecting = breaker.connect(async () => 'a socket');
    expect(breaker.getConnectionState()).toBe('connecting');
    expect(await connecting).toBe('a socket');
    expect(breaker.getConnectionState()).toBe('connected');
    breaker.recordDisconnect();
    expect(breaker.getConnectionState()).toBe('disconnected');
  });

  it('opens after three failures, and then makes no attempt', async () => {
    const breaker = new RealtimeCircuitBreaker();
    const factory = vi.fn(fails);
    for (const state of ['reconnecting', 'reconnecting', 'circuit_open']) {
      expect(breaker.canConnect()).toBe(true);
      await expect(breaker.connect(factory)).rejects.toBe(refused);
      expect(breaker.getConnectionState()).toBe(state);
    }
    expect(breaker.isCircuitOpen()).toBe(true);
    await expect(breaker.connect(factory)).rejects.toThrow('open');
    expect(factory).toHaveBeenCalledTimes(3);
  });

  it('counts the failures of a minute', async () => {
    const breaker = new RealtimeCircuitBreaker();
    for (let i = 0; i < 5; i++) {
      breaker.recordFailure();
      await vi.advanceTimersByTimeAsync(30_001);
    }
    expect(breaker.getCircuitState()).toBe('closed');
    breaker.recordFailure();
    breaker.recordFailure();
    expect(breaker.getCircuitState()).toBe('open');
  });

  it('forgets failures at a success', () => {
    const breaker = new RealtimeCircuitBreaker();
    for (const outcome of ['Failure', 'Failure', 'Success', 'Failure', 'Failure'] as const)
      breaker[`record${outcome}`]();
    expect(breaker.getCircuitState()).toBe('closed');
    expect(breaker.getMetrics()).toMatchObject({ consecutiveFailures: 2, totalFailures: 4, totalSuccesses: 1 });
  });

  it('lets one through after five minutes, and closes when that works', async () => {
    const breaker = await opened();
    await vi.advanceTimersByTimeAsync(299_999);
    expect(breaker.canConnect()).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(breaker.getCircuitState()).toBe('half-open');
    await breaker.connect(async () => {});
    expect(breaker.getCircuitState()).toBe('closed');
  });

  it('opens again when the one that is let through fails', async () => {
    const breaker = await opened();
    await vi.advanceTimersByTimeAsync(300_000);
    await expect(breaker.connect(fails)).rejects.toBe(refused);
    expect(breaker.canConnect()).toBe(false);
    await vi.advanceTimersByTimeAsync(300_000);
    expect(breaker.canConnect()).toBe(true);
  });

  it('closes after as many successes as it is told', async () => {
    const breaker = await opened({ successThreshold: 2 });
    await vi.advanceTimersByTimeAsync(300_000);
    breaker.recordSuccess();
    expect(breaker.getCircuitState()).toBe('half-open');
    breaker.recordSuccess();
    expect(breaker.getCircuitState()).toBe('closed');
  });

  it('waits for ten seconds, for Server-Sent Events fifteen, or as long as it is told', async () => {
    const never = (): Promise<never> => new Promise(() => {});
    for (const [breaker, time, options] of [
      [createWebSocketCircuitBreaker(), 10_000],
      [createSSECircuitBreaker(), 15_000],
      [createWebSocketCircuitBreaker(), 50, { timeout: 50 }],
    ] as const) {
      const ended = vi.fn();
      const caught = breaker.connect(never, options).catch(ended);
      await vi.advanceTimersByTimeAsync(time - 1);
      expect(ended).not.toHaveBeenCalled();
      await vi.advanceTimersByTimeAsync(1);
      await caught;
      expect(ended.mock.calls[0]?.[0]).toBeInstanceOf(ConnectionTimeoutError);
      expect(ended.mock.calls[0]?.[0]).toMatchObject({ isConnectionTimeout: true });
    }
  });

  it('tells of each change, and can be asked meanwhile', async () => {
    const told: unknown[] = [];
    const breaker: RealtimeCircuitBreaker = new RealtimeCircuitBreaker({
      failureThreshold: 1,
      onStateChange: (from, to) => told.push([from, to, breaker.getCircuitState()]),
      onCircuitOpen: () => told.push('open'),
      onCircuitRecovery: () => told.push('recovered'),
    });
    breaker.recordFailure();
    await vi.advanceTimersByTimeAsync(300_000);
    await breaker.connect(async () => {});
    expect(told).toEqual([
      ['closed', 'open', 'open'],
      'open',
      ['open', 'half-open', 'half-open'],
      ['half-open', 'closed', 'closed'],
      'recovered',
    ]);
  });

  it('measures how long attempts take', async () => {
    const breaker = new RealtimeCircuitBreaker();
    for (const time of [100, 300]) {
      const connecting = breaker.connect(() => new Promise((resolve) => setTimeout(resolve, time)));
      await vi.advanceTimersByTimeAsync(time);
      await connecting;
    }
    expect(breaker.getMetrics().averageReconnectTime).toBe(200);
  });

  it('calls a connection degraded while its check fails', async () => {
    const breaker = new RealtimeCircuitBreaker();
    breaker.recordSuccess();
    const check = vi.fn(async () => true);
    check.mockResolvedValueOnce(false).mockRejectedValueOnce(refused);
    breaker.startHealthCheck(check);
    breaker.startHealthCheck(check);
    for (const state of ['degraded', 'degraded', 'connected']) {
      await vi.advanceTimersByTimeAsync(60_000);
      expect(breaker.getConnectionState()).toBe(state);
    }
    breaker.stopHealthCheck();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(check).toHaveBeenCalledTimes(3);
  });

  it('is as new after a reset, and lets nothing through once it is disposed of', async () => {
    const breaker = await opened();
    breaker.reset();
    expect(breaker.getMetrics()).toMatchObject({ circuitState: 'closed', consecutiveFailures: 0, totalFailures: 3 });
    breaker.dispose();
    await vi.advanceTimersByTimeAsync(10 * 300_000);
    expect(breaker.canConnect()).toBe(false);
  });
});

describe('breakers with a name', () => {
  it('are made once, and known together', () => {
    const chat = getRealtimeCircuitBreaker('chat', { failureThreshold: 1 });
    expect(getRealtimeCircuitBreaker('chat')).toBe(chat);
    getRealtimeCircuitBreaker('news').recordFailure();
    chat.recordFailure();
    const states = () =>
      Object.entries(getAllRealtimeCircuitBreakerMetrics()).map(([name, m]) => [name, m.circuitState]);
    expect(states()).toEqual([
      ['chat', 'open'],
      ['news', 'closed'],
    ]);
    resetAllRealtimeCircuitBreakers();
    expect(states()).toEqual([
      ['chat', 'closed'],
      ['news', 'closed'],
    ]);
    disposeAllRealtimeCircuitBreakers();
    expect(states()).toEqual([]);
    expect(chat.canConnect()).toBe(false);
    expect(getRealtimeCircuitBreaker('chat').canConnect()).toBe(true);
  });
});
