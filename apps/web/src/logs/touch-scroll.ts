/** Fingers pan, and a flick glides on. `scrollBy` gets px. Returns what stops a glide. Ends with `signal`. */
export function touchScroll(element: HTMLElement, scrollBy: (px: number) => void, signal: AbortSignal): () => void {
  let glideFrame = 0;
  let lastY = 0;
  let lastMs = 0;
  let speed = 0;
  const stop = () => cancelAnimationFrame(glideFrame);
  signal.addEventListener("abort", stop, { once: true });
  element.addEventListener(
    "touchstart",
    (event) => {
      stop();
      lastY = event.touches[0]?.clientY ?? 0;
      lastMs = event.timeStamp;
      speed = 0;
    },
    { signal, passive: true },
  );
  element.addEventListener(
    "touchmove",
    (event) => {
      const y = event.touches[0]?.clientY ?? lastY;
      if (event.touches.length !== 1) return;
      const px = lastY - y;
      const ms = Math.max(1, event.timeStamp - lastMs);
      speed = 0.7 * speed + 0.3 * (px / ms);
      lastY = y;
      lastMs = event.timeStamp;
      scrollBy(px);
    },
    { signal, passive: true },
  );
  element.addEventListener(
    "touchend",
    (event) => {
      if (event.timeStamp - lastMs > 80) return;
      let atMs = performance.now();
      const glide = (nowMs: number) => {
        const ms = Math.min(50, nowMs - atMs);
        atMs = nowMs;
        scrollBy(speed * ms);
        speed *= 0.996 ** ms;
        if (Math.abs(speed) > 0.02) glideFrame = requestAnimationFrame(glide);
      };
      glideFrame = requestAnimationFrame(glide);
    },
    { signal, passive: true },
  );
  return stop;
}
