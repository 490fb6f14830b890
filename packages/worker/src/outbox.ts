import { create } from "@bufbuild/protobuf";
import { ConnectRequestSchema, type AttemptReport, type AttemptVitals, type ConnectRequest } from "@signalbox/protocol";
import { attemptKey } from "./attempt-key.ts";
import { Bell } from "./bell.ts";

/** An attempt that takes input, and how far it has. */
export interface InputTaker {
  readonly jobId: string;
  readonly number: number;
  /** Offset after what the job has taken; undefined: it takes none, or no more. */
  readonly inputTaken: number | undefined;
}

/** What a heartbeat tells of the worker and its link at the moment at which it goes. */
export interface HeartbeatFigures {
  /** Wall clock, microseconds. */
  readonly nowUs: number;
  readonly bufferedBytes: number;
  readonly spoolBytes: number;
  readonly spoolLimitBytes: number;
  readonly reconnects: number;
  readonly lastBreak: string;
  readonly address: string;
}

/** Something whose whole state can be reported. */
export interface Reporter {
  report(options: { whole: boolean }): AttemptReport;
}

/**
 * What waits to go up the Connect stream. Bounded by nature: each thing is here once, newest state only, and is read when it goes.
 */
export class Outbox {
  /** Rings when there is something to send. */
  readonly filled = new Bell();
  readonly #reports = new Set<Reporter>();
  readonly #vitals = new Map<string, AttemptVitals>();
  readonly #inputs = new Set<InputTaker>();
  #heartbeat: { echoUs: bigint } | undefined;
  #leaving: string | undefined;

  /** The state of `reporter` has changed. */
  report(reporter: Reporter): void {
    this.#reports.add(reporter);
    this.filled.ring();
  }

  /** Takes the place of vitals of the same attempt that have not gone yet. They go before its report, which they belong to. */
  vitals(attempts: readonly AttemptVitals[]): void {
    for (const vitals of attempts) {
      const key = attemptKey(vitals);
      const results = vitals.results ?? this.#vitals.get(key)?.results;
      this.#vitals.set(key, results ? { ...vitals, results } : vitals);
    }
    if (attempts.length > 0) this.filled.ring();
  }

  /** The server is to hear how far `attempt` has taken its input. */
  inputTaken(attempt: InputTaker): void {
    this.#inputs.add(attempt);
    this.filled.ring();
  }

  /** A sign of life; `echoUs` answers a heartbeat of the server, 0 answers none. */
  heartbeat(echoUs: bigint): void {
    this.#heartbeat = { echoUs };
    this.filled.ring();
  }

  leaving(reason: string): void {
    this.#leaving = reason;
    this.filled.ring();
  }

  /** Forgets everything: a hello says it all. */
  clear(): void {
    this.#reports.clear();
    this.#vitals.clear();
    this.#inputs.clear();
    this.#heartbeat = undefined;
    this.#leaving = undefined;
  }

  /** The next message. `now` is asked for what goes with a heartbeat. */
  next(now: () => HeartbeatFigures): ConnectRequest | undefined {
    if (this.#heartbeat) {
      const { nowUs, bufferedBytes, spoolBytes, spoolLimitBytes, reconnects, lastBreak, address } = now();
      const echoServerTimeUs = this.#heartbeat.echoUs;
      this.#heartbeat = undefined;
      const value = {
        ...{ echoServerTimeUs, reconnects, lastBreak, address },
        workerTimeUs: BigInt(nowUs),
        bufferedBytes: BigInt(bufferedBytes),
        spoolBytes: BigInt(spoolBytes),
        spoolLimitBytes: BigInt(spoolLimitBytes),
      };
      return create(ConnectRequestSchema, { message: { case: "heartbeat", value } });
    }
    if (this.#leaving !== undefined) {
      const reason = this.#leaving;
      this.#leaving = undefined;
      return create(ConnectRequestSchema, { message: { case: "leaving", value: { reason } } });
    }
    if (this.#vitals.size > 0) {
      const attempts = [...this.#vitals.values()];
      this.#vitals.clear();
      return create(ConnectRequestSchema, { message: { case: "vitals", value: { attempts } } });
    }
    for (const reporter of this.#reports) {
      this.#reports.delete(reporter);
      return create(ConnectRequestSchema, { message: { case: "report", value: reporter.report({ whole: false }) } });
    }
    for (const attempt of this.#inputs) {
      this.#inputs.delete(attempt);
      const { jobId, number, inputTaken } = attempt;
      if (inputTaken === undefined) continue;
      const value = { jobId, attempt: number, offset: BigInt(inputTaken) };
      return create(ConnectRequestSchema, { message: { case: "inputTaken", value } });
    }
    return undefined;
  }
}
