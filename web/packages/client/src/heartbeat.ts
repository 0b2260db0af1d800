/** How a silent server is noticed, in milliseconds. */
export interface HeartbeatOptions {
  /** How long to hear nothing before asking. Default 25 s. */
  readonly interval?: number;
  /** How long to wait for an answer. Default 10 s. */
  readonly timeout?: number;
}

/** Watches one link. */
export interface Heartbeat {
  /** Something was heard. Only a stamp: it is called for every frame. */
  heard(): void;
  /** Asks now, because the page was asleep or the network changed. */
  probe(): void;
  stop(): void;
}

/**
 * Asks when nothing was heard, and calls `dead` when there is no answer. A timer that fires late (the page was frozen) asks
 * once more, because answers may wait behind it.
 */
export function createHeartbeat(options: HeartbeatOptions | undefined, ask: () => void, dead: () => void): Heartbeat {
  const { interval = 25_000, timeout = 10_000 } = options ?? {};
  let seen = Date.now();
  let answered = false;
  let timer: ReturnType<typeof setTimeout>;

  function watch(): void {
    const wait = seen + interval - Date.now();
    if (wait > 0) timer = setTimeout(watch, wait);
    else probe();
  }
  function probe(): void {
    clearTimeout(timer);
    const asked = Date.now();
    answered = false;
    ask();
    timer = setTimeout(() => {
      if (answered) watch();
      else if (Date.now() - asked > 2 * timeout) probe();
      else dead();
    }, timeout);
  }

  watch();
  return {
    heard() {
      seen = Date.now();
      answered = true;
    },
    probe,
    stop() {
      clearTimeout(timer);
    },
  };
}
