import type { Histogram } from "./histogram.ts";
import { spanBetween, widenSpan, type TimeSpan } from "./span.ts";

/** A pressed pointer that moves farther marks; less is a click. Fingers are less exact. px. */
const mousePx = 4;
const fingerPx = 10;
/** What is widened by keys is taken when none was pressed for so long, milliseconds. */
const keysMs = 250;

/** What a brush works on. */
export interface Brushed {
  /** Undefined: not counted yet. */
  readonly histogram: Histogram | undefined;
  /** The span that is set. */
  readonly span: TimeSpan | undefined;
  /** The line that keys begin at. */
  readonly line: number;
  /** The moment at a place, px from the left. */
  readonly us: (x: number) => number;
}

/**
 * Marks a span of time on a strip: by a drag, or by Shift with the arrows, which make it wider at either end. Escape gives a drag up, or
 * takes the span away. `take` gets what was marked; undefined: nothing is any longer. Ended by `close`.
 */
export class Brush {
  #pressed = $state.raw<{ x: number; us: number; drags: boolean } | undefined>(undefined);
  #draft = $state.raw<TimeSpan | undefined>(undefined);
  readonly #of: () => Brushed;
  readonly #take: (span: TimeSpan | undefined) => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #dragged = false;

  constructor(of: () => Brushed, take: (span: TimeSpan | undefined) => void) {
    this.#of = of;
    this.#take = take;
  }

  /** What is being marked; undefined while nothing is. */
  get draft(): TimeSpan | undefined {
    return this.#draft;
  }

  /** A pointer is down: nothing may move under it. */
  get pressed(): boolean {
    return this.#pressed !== undefined;
  }

  /** Whether the pointer that was let go last had marked something: then it was no click. */
  get dragged(): boolean {
    return this.#dragged;
  }

  /** The pointer went down at `x`. */
  down(event: PointerEvent & { currentTarget: Element }, x: number): void {
    if (event.button !== 0 || !event.isPrimary) return;
    // It may be let go anywhere.
    event.currentTarget.setPointerCapture(event.pointerId);
    this.#dragged = false;
    this.#pressed = { x, us: this.#of().us(x), drags: false };
  }

  /** It moved to `x`. */
  move(event: PointerEvent, x: number): void {
    const pressed = this.#pressed;
    if (!pressed || !event.isPrimary) return;
    if (event.buttons === 0) return this.cancel();
    if (!pressed.drags) {
      if (Math.abs(x - pressed.x) < (event.pointerType === "mouse" ? mousePx : fingerPx)) return;
      clearTimeout(this.#timer);
      this.#dragged = true;
      this.#pressed = { ...pressed, drags: true };
    }
    const { histogram, us } = this.#of();
    this.#draft = histogram && spanBetween(histogram, pressed.us, us(x));
  }

  /** It was let go. */
  up(): void {
    const draft = this.#pressed?.drags ? this.#draft : undefined;
    this.#pressed = undefined;
    if (!draft) return;
    this.#draft = undefined;
    this.#take(draft);
  }

  /** What is being marked by the pointer is given up. */
  cancel(): void {
    if (this.#pressed?.drags) this.#draft = undefined;
    this.#pressed = undefined;
  }

  /** Does what a pressed key stands for; false: nothing. */
  key(event: KeyboardEvent): boolean {
    const { histogram, span, line } = this.#of();
    if (event.key === "Escape") {
      if (!this.#pressed?.drags && !this.#draft && !span) return false;
      const gaveUp = this.#pressed?.drags;
      clearTimeout(this.#timer);
      this.cancel();
      this.#draft = undefined;
      if (!gaveUp) this.#take(undefined);
      return true;
    }
    if (!event.shiftKey || (event.key !== "ArrowLeft" && event.key !== "ArrowRight")) return false;
    if (!histogram || this.#pressed?.drags) return true;
    const known = this.#draft ?? span;
    const draft = widenSpan(histogram, known, line, event.key === "ArrowRight" ? 1 : -1);
    if (draft === known) return true;
    this.#draft = draft;
    clearTimeout(this.#timer);
    // A key that is held would change the URL more often than browsers allow.
    this.#timer = setTimeout(() => {
      this.#draft = undefined;
      if (draft) this.#take(draft);
    }, keysMs);
    return true;
  }

  /** Forgets what is being marked. */
  close(): void {
    clearTimeout(this.#timer);
  }
}
