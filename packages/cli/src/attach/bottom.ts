import type { LogOutput } from "../log-printer.ts";
import type { Output } from "../output.ts";
import { sanitise } from "../sanitise.ts";
import { truncate } from "../table.ts";

/** Without wrapping: a row that is wrapped would be two when it is drawn again. */
const noWrap = "\u001b[?7l";
const wrap = "\u001b[?7h";
/** An unfinished row is kept up to so many characters; then it goes out as it is. */
const longestOpen = 64 * 1024;

/**
 * Standard output with rows at the bottom that stay there: the row that the job has not finished, and what the caller shows. Only on a
 * terminal; elsewhere everything goes out as it is.
 */
export class Bottom implements LogOutput {
  readonly json: boolean;
  readonly color: boolean;
  readonly #out: Output;
  readonly #isLive: boolean;
  #open = "";
  #status: string | undefined;
  #height = 0;
  #isHidden = false;

  constructor(out: Output) {
    this.#out = out;
    this.json = out.json;
    this.color = out.color;
    this.#isLive = out.isTerminal && !out.json && !out.quiet;
  }

  /** Whether there are rows at the bottom. */
  get isLive(): boolean {
    return this.#isLive;
  }

  /** Columns of the terminal. */
  get columns(): number {
    return this.#out.columns ?? 80;
  }

  async write(text: string | Uint8Array): Promise<void> {
    if (!this.#isLive || typeof text !== "string") return this.#out.write(text);
    const all = this.#open + text;
    const end = all.length > longestOpen ? all.length : all.lastIndexOf("\n") + 1;
    this.#open = all.slice(end);
    await this.#draw(all.slice(0, end));
  }

  line(text: string): Promise<void> {
    return this.write(`${text}\n`);
  }

  async object(value: unknown): Promise<void> {
    await this.#out.object(value);
  }

  note(text: string): void {
    if (!this.#isLive) this.#out.note(text);
    // Nothing is lost if the terminal is gone: what is written next says so.
    else void this.#draw(`${text}\n`).catch(() => undefined);
  }

  paint(...[style, text]: Parameters<Output["paint"]>): string {
    return this.#out.paint(style, text);
  }

  /** Shows a row at the bottom, in place of the one before. */
  async show(text: string): Promise<void> {
    if (!this.#isLive || text === this.#status) return;
    this.#status = text;
    await this.#draw("");
  }

  /** Takes the bottom away until {@link reveal}. */
  async hide(): Promise<void> {
    if (!this.#isLive) return;
    this.#isHidden = true;
    await this.#draw("");
  }

  /** Draws the bottom again, on a terminal on which others may have drawn. */
  async reveal(): Promise<void> {
    if (!this.#isLive) return;
    this.#isHidden = false;
    this.#height = 0;
    await this.#draw("\r");
  }

  /** Takes the bottom away; an unfinished row is printed. */
  async end(): Promise<void> {
    if (!this.#isLive) return;
    const rest = this.#open && `${this.#open}\n`;
    this.#open = "";
    this.#status = undefined;
    await this.#draw(rest);
  }

  async #draw(above: string): Promise<void> {
    const rows = [];
    if (this.#open && !this.#isHidden) rows.push(truncate(sanitise(this.#open), this.columns - 1));
    if (this.#status !== undefined && !this.#isHidden) rows.push(this.#status);
    const up = this.#height > 1 ? `\u001b[${this.#height - 1}A` : "";
    const clear = this.#height > 0 ? `${up}\r\u001b[J` : "";
    this.#height = rows.length;
    const below = rows.length > 0 ? `${noWrap}${rows.join("\n")}${wrap}` : "";
    if (clear + above + below) await this.#out.write(`${clear}${above}${below}`);
  }
}
