/** What single keys do, by `KeyboardEvent.key`; with Shift or a prefix where the key itself says so (`g j`). */
export type KeyMap = Readonly<Record<string, () => void>>;

/** Whether a key pressed now belongs to what is typed into, or to an open dialog. */
export function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof Element)) return false;
  if (target.closest("dialog")) return true;
  return target.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
}

/** The function of a pressed key; undefined if the map has none, something is typed, or a modifier makes it the browser's. */
export function keyAction(event: KeyboardEvent, keys: KeyMap): (() => void) | undefined {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target))
    return undefined;
  // A focused button or link takes Enter and Space for itself.
  if (
    (event.key === "Enter" || event.key === " ") &&
    event.target instanceof Element &&
    event.target.closest("button, a, [role=tab]")
  )
    return undefined;
  return keys[event.key];
}

/**
 * Whether Enter is pressed, and meant for what counts down: wherever the focus is, but not where something is typed or chosen, and not on the
 * way back, which is marked with `data-undo`.
 */
export function isForHeld(event: KeyboardEvent): boolean {
  const { key, target } = event;
  if (key !== "Enter" || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  return !isTyping(target) && !(target instanceof Element && target.closest("[data-undo], [role=menu]"));
}

/** Does what a pressed key stands for, and keeps the browser from doing something else with it. */
export function pressKey(event: KeyboardEvent, keys: KeyMap): void {
  const act = keyAction(event, keys);
  if (!act) return;
  event.preventDefault();
  act();
}
