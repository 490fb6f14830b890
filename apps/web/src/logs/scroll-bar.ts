/** The elements of the log's scroll bar: the thumb slides in the bar, the map's ticks stand behind it. */
export interface ScrollBarElements {
  readonly bar: HTMLElement;
  readonly thumb: HTMLElement;
  readonly map: HTMLElement;
}

/** What the reader does with the bar. */
export interface ScrollBarEvents {
  /** The thumb was dragged to a share of the log, 0 to 1. */
  dragTo(share: number): void;
  /** The bar was pressed beside the thumb: a screen up (-1) or down (1). */
  page(direction: 1 | -1): void;
  /** The thumb was let go. */
  dropped(): void;
}

/** Where the log is, as the bar shows it. Counted in lines. */
export interface ScrollPlace {
  /** Number of the log's first line. */
  readonly first: number;
  readonly lines: number;
  /** Line at the top of the screen. */
  readonly top: number;
  /** Lines that fit the screen. */
  readonly visible: number;
  /** 0 is the start, 1 the end. */
  readonly share: number;
}

/** A tick of the map: a command, a gap, the divider. */
export interface MapMark {
  readonly line: number;
  readonly kind: string;
}

/** At most so many ticks are drawn; the newest. */
export const maxMarks = 500;

/** The log's own scroll bar: its thumb stands for line numbers, and beside it lies a map of the whole log. */
export class ScrollBar {
  readonly #parts: ScrollBarElements;
  #grab: number | undefined;
  #signature = "";

  constructor(parts: ScrollBarElements, events: ScrollBarEvents, signal: AbortSignal) {
    this.#parts = parts;
    const { bar, thumb } = parts;
    bar.addEventListener(
      "pointerdown",
      (event) => {
        event.preventDefault();
        const box = thumb.getBoundingClientRect();
        if (event.clientY < box.top) return events.page(-1);
        if (event.clientY > box.bottom) return events.page(1);
        bar.setPointerCapture(event.pointerId);
        this.#grab = event.clientY - box.top;
        bar.classList.add("dragging");
      },
      { signal },
    );
    bar.addEventListener(
      "pointermove",
      (event) => {
        if (this.#grab === undefined) return;
        const box = bar.getBoundingClientRect();
        const room = Math.max(1, box.height - thumb.offsetHeight);
        const top = Math.max(0, Math.min(room, event.clientY - this.#grab - box.top));
        thumb.style.top = `${top}px`;
        events.dragTo(top / room);
      },
      { signal },
    );
    const drop = () => {
      this.#grab = undefined;
      bar.classList.remove("dragging");
      events.dropped();
    };
    bar.addEventListener("pointerup", drop, { signal });
    bar.addEventListener("pointercancel", drop, { signal });
  }

  /** Draws thumb and map. A thumb that is held stays under the pointer. */
  paint({ first, lines, top, visible, share }: ScrollPlace, marks: readonly MapMark[]): void {
    const { bar, thumb, map } = this.#parts;
    const height = bar.clientHeight;
    const thumbHeight = Math.max(28, Math.min(height, (height * visible) / lines));
    if (this.#grab === undefined) thumb.style.top = `${Math.round(share * (height - thumbHeight))}px`;
    thumb.style.height = `${Math.round(thumbHeight)}px`;
    thumb.hidden = lines <= visible;
    bar.setAttribute("aria-valuemin", String(first));
    bar.setAttribute("aria-valuemax", String(first + lines - 1));
    bar.setAttribute("aria-valuenow", String(Math.min(first + lines - 1, top)));
    const drawn = marks.slice(-maxMarks);
    const signature = drawn.map((mark) => `${mark.kind}${Math.round(((mark.line - first) / lines) * height)}`).join();
    if (signature === this.#signature) return;
    this.#signature = signature;
    map.replaceChildren(
      ...drawn.map((mark) => {
        const tick = document.createElement("i");
        tick.className = mark.kind;
        tick.style.top = `${Math.min(99.5, ((mark.line - first) / lines) * 100)}%`;
        return tick;
      }),
    );
  }
}
