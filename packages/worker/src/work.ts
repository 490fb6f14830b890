import { EndOutcome, type AttemptReport, type AttemptSpec, type Input, type Welcome } from "@signalbox/protocol";
import { attemptKey } from "./attempt-key.ts";
import { Attempt, type AttemptHost } from "./attempt.ts";
import { systemClock } from "./clock.ts";
import type { Connection } from "./connection.ts";
import { messageOf } from "./errors.ts";
import type { JobDefinition } from "./job.ts";
import { Lease } from "./lease.ts";
import type { LineBudget } from "./line-budget.ts";
import type { Outbox } from "./outbox.ts";
import { pushLogs } from "./push-logs.ts";
import { endReporter, Reporters } from "./reporters.ts";

const vitalsEveryMs = 250;

/** What the work of a worker needs of it. */
export interface WorkParts extends Pick<AttemptHost, "redactor" | "spool"> {
  readonly incarnation: string;
  readonly outbox: Outbox;
  readonly budget: LineBudget;
  /** The link that there is. */
  readonly connection: () => Connection | undefined;
  readonly notice: (message: string) => void;
  /** The server will never have the end of an attempt. */
  readonly lost: (key: string, reason: string) => void;
  /** An attempt is over and forgotten. */
  readonly forgotten: () => void;
}

/** The attempts that the server has given a worker, from their spec until their end is accepted: run, reported and delivered. */
export class Work {
  /** How long they are this worker's without a word of the server. */
  readonly lease = new Lease(
    () => systemClock.monotonicMs(),
    (silentMs) => this.#leaseOver(silentMs),
  );
  /** What every attempt of the worker needs. */
  readonly host: AttemptHost;
  readonly #parts: WorkParts;
  readonly #reporters = new Reporters();
  #storeId = "";

  constructor(parts: WorkParts) {
    this.#parts = parts;
    const { outbox, budget, redactor, spool } = parts;
    this.host = {
      ...{ clock: systemClock, budget, redactor, spool },
      onChange: (attempt) => {
        if (!this.has(attempt)) return;
        this.#reporters.repeatVitals(attempt.key);
        this.#sendVitals([attempt]);
        outbox.report(attempt);
      },
      checkLease: () => this.lease.check(),
      onInputTaken: (attempt) => {
        if (this.has(attempt)) outbox.inputTaken(attempt);
      },
    };
  }

  /** Those that run, or whose lines or end the server does not have. */
  get attempts(): Attempt[] {
    return this.#reporters.attempts;
  }

  get isEmpty(): boolean {
    return this.#reporters.isEmpty;
  }

  /** Whether the server gave it to this worker, and waits for its end. */
  has(attempt: Attempt): boolean {
    return this.#reporters.get(attempt.key) === attempt;
  }

  /** Whether its end was accepted, or it was fenced. */
  isOver(key: string): boolean {
    return this.#reporters.isOver(key);
  }

  /** A link begins: whoever is there knows nothing. Returns the whole state of everything. */
  beginLink(): AttemptReport[] {
    this.#reporters.forgetVitals();
    return this.#reporters.reports();
  }

  /** The server has said welcome: what waits goes to it. */
  welcomed({ leaseMs, storeId }: Welcome, connection: Connection): void {
    this.#storeId = storeId;
    this.lease.begin(leaseMs);
    for (const attempt of this.attempts) {
      this.#parts.outbox.inputTaken(attempt);
      this.#push(attempt, connection);
    }
    const vitalsTimer = setInterval(() => this.#sendVitals(this.attempts), vitalsEveryMs);
    connection.signal.addEventListener("abort", () => clearInterval(vitalsTimer), { once: true });
  }

  /** Takes the newest spec of an attempt that is here, or was. Returns whether it is such a one. */
  receive(spec: AttemptSpec): boolean {
    const key = attemptKey(spec);
    const known = this.#reporters.get(key);
    if (known instanceof Attempt) known.receive(spec);
    return known !== undefined || this.isOver(key);
  }

  /** Runs an attempt. */
  start(spec: AttemptSpec, definition: JobDefinition<never>): void {
    const attempt = new Attempt(spec, definition, this.host);
    this.bind(attempt, spec);
    attempt.start();
  }

  /** An attempt, begun or not, is the one of this spec. */
  bind(attempt: Attempt, spec: AttemptSpec): void {
    const { outbox, connection } = this.#parts;
    attempt.bind(spec);
    const { jobId, attempt: number } = spec;
    attempt.describe({ jobId, attempt: number, storeId: this.#storeId, request: "" });
    this.#reporters.set(attempt.key, attempt);
    this.#sendVitals([attempt]);
    outbox.report(attempt);
    outbox.inputTaken(attempt);
    const link = connection();
    if (link) this.#push(attempt, link);
  }

  /** Does not take what it was assigned. */
  decline(spec: AttemptSpec, reason: string): void {
    const { jobId, attempt } = spec;
    const end = { jobId, attempt, outcome: EndOutcome.DECLINED, reason };
    const reporter = endReporter(end, spec.spec?.generation ?? 0n);
    this.#reporters.set(attemptKey(spec), reporter);
    this.#parts.outbox.report(reporter);
  }

  receiveInput(input: Input): void {
    const reporter = this.#reporters.get(attemptKey(input));
    if (reporter instanceof Attempt) reporter.receiveInput(input);
  }

  /** The attempt is not this worker's any more. */
  fence(key: string, reason: string): void {
    const reporter = this.#reporters.get(key);
    if (!reporter || (reporter instanceof Attempt && reporter.isFenced)) return;
    this.#parts.notice(`${key} is not ours any more: ${reason}`);
    this.#parts.lost(key, reason);
    // What is left of an attempt is evidence: it is told until its end is accepted.
    if (reporter instanceof Attempt) reporter.fence(reason);
    else this.forget(key);
  }

  /** It is over for the server, too. */
  forget(key: string): void {
    this.#reporters.forget(key);
    this.#parts.forgotten();
  }

  /** Stops everything, and forgets it although the server does not know its end. */
  abandon(reason: string): void {
    for (const [key, reporter] of this.#reporters.drain()) {
      this.#parts.notice(`${key}: ${reason}`);
      if (reporter instanceof Attempt) reporter.abandon(reason);
    }
  }

  /** Looks at the lease no more. */
  close(): void {
    this.lease.stop();
  }

  /** Others may soon run what ran here: what must not run twice stops. */
  #leaseOver(silentMs: number): void {
    const reason = `the server was not heard for ${Math.floor(silentMs / 1000)} s, and the job is exclusive`;
    for (const attempt of this.attempts) attempt.loseLease(reason);
  }

  #push(attempt: Attempt, { client, wire, signal }: Connection): void {
    const { incarnation, outbox, notice, lost } = this.#parts;
    pushLogs({
      log: attempt.log,
      jobId: attempt.jobId,
      attempt: attempt.number,
      incarnation,
      endsWhenRefused: () => attempt.isFenced,
      client,
      wire,
      signal,
      notice: (message) => notice(`${attempt.key}: ${message}`),
    })
      .then((refusal) => {
        if (refusal === undefined) return;
        notice(`${attempt.key}: what was not delivered of it is not taken any more: ${refusal}`);
        attempt.abandon(refusal);
        this.forget(attempt.key);
      })
      .catch((error: unknown) => {
        const reason = messageOf(error);
        notice(`${attempt.key} is given up: ${reason}`);
        attempt.discard(reason);
        lost(attempt.key, reason);
        // The server still waits for this attempt: it must hear that nothing will come.
        const { jobId, number } = attempt;
        const failed = endReporter({ jobId, attempt: number, outcome: EndOutcome.FAILED, reason });
        this.#reporters.set(attempt.key, failed);
        outbox.report(failed);
      });
  }

  #sendVitals(attempts: readonly Attempt[]): void {
    this.#parts.outbox.vitals(this.#reporters.takeNewVitals(attempts));
  }
}
