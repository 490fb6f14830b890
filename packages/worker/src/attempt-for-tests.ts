import {
  SOURCE_BITS,
  SOURCE_SHIFT,
  type AttemptReport,
  type AttemptSpec,
  type AttemptVitals,
  type ChunkBody,
  type Gap,
} from "@signalbox/protocol";

/** What the server keeps of an attempt. It outlives connections, as a store does. */
export class StoredAttempt {
  readonly spec: AttemptSpec;
  /** Stored chunks and gaps, in order. */
  readonly stored: (ChunkBody | Gap)[] = [];
  nextLine = 1;
  incarnation = "";
  /** The worker that it is for; empty: any. */
  workerId = "";
  /** The process that got it first. */
  runsIn = "";
  readonly reports: AttemptReport[] = [];
  readonly vitals: AttemptVitals[] = [];
  /** What was sent into the attempt, and whether more may follow. */
  input: Buffer = Buffer.alloc(0);
  inputEnded = false;
  /** Every offset that the worker said it has taken. */
  readonly inputTaken: number[] = [];
  endAccepted = false;
  fenced = false;
  #late: StoredAttempt | undefined;

  constructor(spec: AttemptSpec) {
    this.spec = spec;
  }

  /** It is given up: what comes of it from now on is evidence, and kept apart. */
  fence(): void {
    this.fenced = true;
    this.#late = new StoredAttempt(this.spec);
    this.#late.nextLine = this.nextLine;
  }

  /** What came after it was given up. */
  get lateEvidence(): StoredAttempt {
    if (!this.#late) throw new Error("the attempt was not given up");
    return this.#late;
  }

  get report(): AttemptReport | undefined {
    return this.reports.at(-1);
  }

  /** The exact bytes of all stored lines. */
  get bytes(): Buffer {
    return Buffer.concat(this.stored.flatMap((entry) => ("blob" in entry ? [entry.blob] : [])));
  }

  get text(): string {
    return this.bytes.toString();
  }

  /** Text of each stored line without its newline. */
  get lines(): string[] {
    return this.text.split("\n").slice(0, -1);
  }

  /** Text of the stored lines of one source. */
  textOf(source: "stdout" | "stderr"): string {
    const wanted = source === "stdout" ? 0 : 1;
    const parts: Uint8Array[] = [];
    for (const entry of this.stored) {
      if (!("blob" in entry)) continue;
      let at = 0;
      entry.length.forEach((length, i) => {
        if (((entry.lineFlags[i] ?? 0) & SOURCE_BITS) >> SOURCE_SHIFT === wanted)
          parts.push(entry.blob.subarray(at, at + length));
        at += length;
      });
    }
    return Buffer.concat(parts).toString();
  }

  get gaps(): Gap[] {
    return this.stored.filter((entry): entry is Gap => "cause" in entry);
  }
}
