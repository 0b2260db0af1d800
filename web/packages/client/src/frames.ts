/** The longest that something waits for a frame. A hidden page has none, nor has Node. */
const longest = 1000;

/** Takes any number of calls until the next frame for one; with a time in milliseconds, until the first frame after it. */
export function oncePerFrame(run: () => void, every = 0): () => void {
  const inPage = typeof requestAnimationFrame === 'function';
  let frame: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const once = (): void => {
    clearTimeout(timer);
    if (frame !== undefined) cancelAnimationFrame(frame);
    timer = frame = undefined;
    run();
  };
  const wait = (): void => {
    if (inPage) frame = requestAnimationFrame(once);
    timer = setTimeout(once, inPage ? longest : 0);
  };
  return () => {
    if (timer !== undefined) return;
    if (every > 0) timer = setTimeout(wait, every);
    else wait();
  };
}
