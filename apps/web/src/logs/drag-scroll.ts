/** Pixels a frame at the edge, and how many px beyond the edge add one more. */
const slowest = 2;
const steepness = 6;
const fastest = 60;

/**
 * While text is selected with the mouse and the pointer is held above or below `element`, calls `scrollBy` each frame, faster the
 * farther it is away, and takes the end of the selection along. The browser does this only for what it scrolls itself. Ends with `signal`.
 */
export function dragScroll(element: HTMLElement, scrollBy: (px: number) => void, signal: AbortSignal): void {
  let selecting = false;
  let frame = 0;
  let pointer = { x: 0, y: 0 };

  const overshoot = () => {
    const { top, bottom } = element.getBoundingClientRect();
    return pointer.y < top ? pointer.y - top : pointer.y > bottom ? pointer.y - bottom : 0;
  };
  const step = () => {
    frame = 0;
    const beyond = overshoot();
    if (!selecting || beyond === 0 || document.getSelection()?.isCollapsed) return;
    takeAlong(element, pointer.x, beyond < 0);
    scrollBy(Math.sign(beyond) * Math.min(fastest, slowest + Math.abs(beyond) / steepness));
    frame = requestAnimationFrame(step);
  };
  const stop = () => {
    selecting = false;
    cancelAnimationFrame(frame);
    frame = 0;
  };

  element.addEventListener(
    "pointerdown",
    (event) => (selecting = event.pointerType === "mouse" && event.button === 0),
    { signal },
  );
  window.addEventListener(
    "pointermove",
    (event) => {
      if (!selecting) return;
      pointer = { x: event.clientX, y: event.clientY };
      if (overshoot() !== 0) frame ||= requestAnimationFrame(step);
    },
    { signal },
  );
  for (const end of ["pointerup", "pointercancel", "blur"] as const) window.addEventListener(end, stop, { signal });
  signal.addEventListener("abort", stop, { once: true });
}

/** Brings the end of the selection to the text at the edge that the pointer is beyond. */
function takeAlong(element: HTMLElement, x: number, up: boolean): void {
  const box = element.getBoundingClientRect();
  const row = rowAt(element, box, up);
  const text = row?.querySelector(".text")?.getBoundingClientRect();
  if (!text) return;
  const place = document.caretPositionFromPoint(
    Math.max(text.left + 1, Math.min(box.right - 2, x)),
    up ? Math.max(text.top + 4, box.top + 2) : Math.min(text.bottom - 4, box.bottom - 2),
  );
  const selection = document.getSelection();
  if (place && selection?.anchorNode && element.contains(place.offsetNode))
    selection.extend(place.offsetNode, place.offset);
}

/** The first or last line on the screen. */
function rowAt(element: HTMLElement, box: DOMRect, first: boolean): HTMLElement | undefined {
  const rows = [...element.querySelectorAll<HTMLElement>(".row.line:not(.held)")].filter((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return bottom > box.top + 6 && top < box.bottom - 6;
  });
  return first ? rows[0] : rows.at(-1);
}
