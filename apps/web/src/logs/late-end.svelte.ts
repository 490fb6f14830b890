import type { Subscription, WatchResponse } from "@signalbox/protocol";
import type { Watched } from "../live/watch-link.ts";

/** Follows where the log of an attempt's late lines ends, without keeping any of them. */
export class LateEnd implements Watched {
  readonly id: string;
  readonly #jobId: string;
  readonly #attempt: number;
  readonly #firstLine: number;
  #lines = $state.raw<number | undefined>(undefined);

  /** `firstLine` is the number of the first late line. */
  constructor(jobId: string, attempt: number, firstLine: number) {
    this.#jobId = jobId;
    this.#attempt = attempt;
    this.#firstLine = firstLine;
    this.id = `late-end/${jobId}/${attempt}`;
  }

  /** How many late lines there are, gaps among them; undefined until known. */
  get lines(): number | undefined {
    return this.#lines;
  }

  kind(): Subscription["kind"] {
    return {
      case: "log",
      value: {
        $typeName: "signalbox.v1.LogSubscription",
        jobId: this.#jobId,
        attempt: this.#attempt,
        start: { case: "last", value: 1 },
        allowSkip: true,
        late: true,
      },
    };
  }

  apply(message: WatchResponse["message"]): void {
    if (message.case === "log") this.#lines = Math.max(0, Number(message.value.endLine) - this.#firstLine);
  }
}
