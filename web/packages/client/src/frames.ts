import type { Undo } from './listeners.ts';

/** The longest that something waits for a frame. A hidden page has none, nor has Node. */
const longest = 100;

/** Runs something once, in the next frame. */
export function onNextFrame(run: () => void): Undo {
  const inPage = typeof requestAnimationFrame === 'function';
  const once = (): void => {
    undo();
    run();
  };
  const frame = inPage ? requestAnimationFrame(once) : 0;
  const timer = setTimeout(once, inPage ? longest : 0);
  const undo = (): void => {
    clearTimeout(timer);
    if (inPage) cancelAnimationFrame(frame);
  };
  return undo;
}

/** Takes any number of calls until the next frame for one; with a time in milliseconds, until the first frame after it. */
export function oncePerFrame(run: () => void, every = 0): () => void {
  let planned = false;
  const frame = (): void => {
    onNextFrame(() => {
      planned = false;
      run();
    });
  };
  return () => {
    if (planned) return;
    planned = true;
    if (every > 0) setTimeout(frame, every);
    else frame();
  };
}
