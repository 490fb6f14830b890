import type { Output } from "./output.ts";

/** Redraws at most so often, milliseconds. */
const redrawMs = 250;
/** Without a cursor, and with lines that end at the edge: a line that is wrapped would be two when the table is drawn again. */
const begin = "\u001b[?25l\u001b[?7l";
const end = "\u001b[?7h";
const showCursor = "\u001b[?25h";

/**
 * A table that is drawn again where it stands, at most four times a second and once a second at least. Only on a terminal; elsewhere
 * it draws nothing and whoever has it writes changes line by line.
 */
export class LiveTable {
  /** Whether it draws. */
  readonly isLive: boolean;
  readonly #out: Output;
  readonly #draw: () => string[];
  #height = 0;
  #timer: NodeJS.Timeout | undefined;
  #drawnMs = 0;

  constructor(out: Output, draw: () => string[]) {
    this.#out = out;
    this.#draw = draw;
    this.isLive = out.isTerminal && !out.json;
    if (this.isLive) process.once("exit", () => process.stdout.write(showCursor));
  }

  /** What is drawn has changed. */
  changed(): void {
    if (!this.isLive) return;
    clearTimeout(this.#timer);
    const sinceMs = performance.now() - this.#drawnMs;
    if (sinceMs >= redrawMs) this.#redraw();
    else this.#timer = setTimeout(() => this.#redraw(), redrawMs - sinceMs);
  }

  #redraw(): void {
    this.#drawnMs = performance.now();
    const rows = Math.max(2, this.#out.rows - 1);
    const lines = this.#draw();
    const shown = lines.slice(0, rows);
    if (lines.length > rows) shown[rows - 1] = `… and ${lines.length - rows + 1} more`;
    const up = this.#height > 0 ? `\u001b[${this.#height}A` : "";
    this.#height = shown.length;
    void this.#out.write(`${begin}${up}\r\u001b[J${shown.join("\n")}\n${end}`).catch(() => undefined);
    // Ages go on while nothing changes.
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#redraw(), 1000);
  }
}
