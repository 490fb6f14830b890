import { setTimeout as delay } from "node:timers/promises";
import type { LogDelivery } from "@signalbox/protocol";
import { Classifier } from "./classify.ts";
import type { WebClients } from "./clients.ts";
import type { Content } from "./content.ts";
import { classifyEntries } from "./entries.ts";
import { until } from "./until.ts";

/** Without a word for so long it opens another stream, as the page does. */
const silenceMs = 10_000;

/**
 * Follows the log of an attempt as the page does: over gRPC-Web, from its first line, coming back from its cursor whenever the stream
 * ends or is silent. Everything that it is shown goes to a classifier, and nothing is dropped in between: after its cursor nothing may
 * come a second time.
 */
export class Follower {
  readonly classifier = new Classifier();
  readonly #clients: WebClients;
  readonly #jobId: string;
  readonly #content: Content;
  /** Lines may be left out, and are read afterwards. */
  readonly #allowSkip: boolean;
  readonly #closed = new AbortController();
  readonly #over: Promise<void>;
  #cursor: Uint8Array = new Uint8Array();
  #breaks = 0;
  #skipped = 0;
  #refusal: string | undefined;

  constructor(clients: WebClients, jobId: string, content: Content, { allowSkip }: { allowSkip: boolean }) {
    this.#clients = clients;
    this.#jobId = jobId;
    this.#content = content;
    this.#allowSkip = allowSkip;
    this.#over = this.#follow();
  }

  /** The number after the newest line that was shown. */
  get next(): number {
    return this.classifier.next;
  }

  /** How many streams broke under it. */
  get breaks(): number {
    return this.#breaks;
  }

  /** How many lines were left out and read afterwards. */
  get skipped(): number {
    return this.#skipped;
  }

  /** Why the server refuses to be followed; undefined if it does not. */
  get refusal(): string | undefined {
    return this.#refusal;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#over;
  }

  async #follow(): Promise<void> {
    const { signal } = this.#closed;
    while (!signal.aborted && this.#refusal === undefined) {
      const stream = new AbortController();
      const silence = setTimeout(() => stream.abort(), silenceMs);
      try {
        const ended = AbortSignal.any([signal, stream.signal]);
        for await (const { message, cursor } of this.#clients.live.watch(
          {
            subscriptions: [
              {
                id: "log",
                cursor: this.#cursor,
                kind: {
                  case: "log",
                  value: {
                    jobId: this.#jobId,
                    // The newest, or the first one as soon as there is one.
                    attempt: 0,
                    allowSkip: this.#allowSkip,
                    start: { case: "fromLine", value: 1n },
                  },
                },
              },
            ],
          },
          { signal: ended },
        )) {
          silence.refresh();
          if (message.case === "error") this.#refusal = message.value.message;
          if (message.case === "reset") this.#refusal = `the reader was reset: ${message.value.reason}`;
          if (message.case === "log") await this.#show(message.value);
          if (cursor.length > 0) this.#cursor = cursor;
        }
      } catch {
        // The next stream goes on from the cursor.
        this.#breaks++;
      } finally {
        clearTimeout(silence);
        stream.abort();
      }
      await delay(100 + Math.random() * 200, undefined, { signal }).catch(() => undefined);
    }
  }

  async #show({ entries, notSent }: LogDelivery): Promise<void> {
    if (notSent) {
      const to = Number(notSent.firstLine + notSent.lineCount);
      for (let from = Number(notSent.firstLine); from < to;) from = await this.#readSkipped(from, to);
      this.#skipped += Number(notSent.lineCount);
    }
    classifyEntries(entries, { classifier: this.classifier, content: this.#content });
  }

  /** Reads a part of what was left out; resolves with where it ends. */
  async #readSkipped(from: number, to: number): Promise<number> {
    const request = { jobId: this.#jobId, attempt: 1, fromLine: BigInt(from), lineCount: BigInt(to - from) };
    const { entries, nextLine } = await until("what was left out is read", () =>
      this.#clients.logs.readLogs(request, { signal: this.#closed.signal, timeoutMs: silenceMs }),
    );
    classifyEntries(entries, { classifier: this.classifier, content: this.#content, from, to });
    return Number(nextLine) > from ? Number(nextLine) : to;
  }
}
