/** What workers tell the oracle, one JSON object a line. */
export type Testimony =
  /** Lines `from` to `to` (exclusive) are about to be printed. Told before. */
  | {
      readonly say: "printing";
      readonly job: string;
      readonly attempt: number;
      readonly from: number;
      readonly to: number;
    }
  /** The server has acknowledged all lines below `next`. Told before the SDK hears it. */
  | {
      readonly say: "acknowledged";
      readonly job: string;
      readonly attempt: number;
      readonly next: number;
      readonly late: boolean;
    };

/** What is known of one attempt. Line numbers as in {@link Testimony}: behind the last line. */
export interface Told {
  readonly job: string;
  readonly attempt: number;
  /** The number after the last line that may have been printed. */
  printed: number;
  /** The greatest number below which everything was acknowledged. */
  acknowledged: number;
  /** The same of the attempt's late evidence; 0: none was acknowledged. */
  late: number;
  /** How many acknowledgements there were. */
  acknowledgements: number;
  /** How often the server said a smaller number than before: it took an acknowledgement back. */
  takenBack: number;
}

/** Everything that was told, by attempt. */
export class Testimonies {
  readonly #byAttempt = new Map<string, Told>();
  readonly #newest = new Map<string, number>();

  take(said: Testimony): void {
    const key = `${said.job}/${said.attempt}`;
    let told = this.#byAttempt.get(key);
    if (!told) {
      const { job, attempt } = said;
      told = { job, attempt, printed: 1, acknowledged: 1, late: 0, acknowledgements: 0, takenBack: 0 };
      this.#byAttempt.set(key, told);
    }
    if (said.say === "printing") {
      told.printed = Math.max(told.printed, said.to);
      return;
    }
    told.acknowledgements++;
    if (said.late) {
      told.late = Math.max(told.late, said.next);
      return;
    }
    if (said.next < (this.#newest.get(key) ?? 0)) told.takenBack++;
    this.#newest.set(key, said.next);
    told.acknowledged = Math.max(told.acknowledged, said.next);
  }

  get all(): readonly Told[] {
    return [...this.#byAttempt.values()];
  }
}

/** Cuts a stream of bytes into lines; what is not ended by a newline yet waits. */
export class LineReader {
  #rest = "";

  *take(bytes: Buffer): Generator<string> {
    const lines = (this.#rest + bytes.toString("latin1")).split("\n");
    this.#rest = lines.pop() ?? "";
    yield* lines;
  }
}
