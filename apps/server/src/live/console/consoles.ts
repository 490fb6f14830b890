import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import {
  CommandSchema,
  DoneSchema,
  JobEventSchema,
  RunMode,
  StartJobRequestSchema,
  type Actor,
  type ClientCommand,
  type JobEvent,
  type JobRecord,
  type Start,
  type Vitals,
} from "@signalbox/protocol";
import type { Inputs } from "../../jobs/inputs.ts";
import type { Job } from "../../jobs/job.ts";
import { hasEnded } from "../../jobs/job-record.ts";
import type { Logger } from "../../logger.ts";
import { pause } from "../../pause.ts";
import { Refused } from "../../refused.ts";
import { JobView } from "../job-view.ts";
import type { LiveParts } from "../live-parts.ts";
import { merge } from "../merge.ts";
import { ConsoleCommands, defaultGraceMs, type CommandParts } from "./console-commands.ts";
import { ConsoleInputs } from "./console-input.ts";
import { consoleLog, type LogStart } from "./console-log.ts";
import { RateGate } from "./rate-gate.ts";
import { defaultSilence, signsOfLife, type SilenceBounds } from "./signs-of-life.ts";

const progressEveryMs = 250;

/** What consoles stand on. */
export interface ConsolesParts extends CommandParts {
  readonly live: LiveParts;
  readonly inputs: Inputs;
  readonly logger: Logger;
  readonly silence?: SilenceBounds;
}

/** Conversations of clients with one job each: what RunJob does. */
export class Consoles {
  readonly #parts: ConsolesParts;
  readonly #underWay = new Set<Promise<void>>();
  #isStopping = false;

  constructor(parts: ConsolesParts) {
    this.#parts = parts;
  }

  /** The server stops: that its consoles end from now on is not what their clients want. */
  beginDrain(): void {
    this.#isStopping = true;
  }

  /** Resolves when no cancel of a console that was closed is being stored any more. */
  async settle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  /**
   * Starts or joins the job that `start` asks for, follows it to its end, and carries out what else `incoming` says. Ends with `done`, or
   * when the client ends its side. Whatever is slow is behind and nothing is kept for it. Throws Refused.
   */
  async *run(
    start: Start,
    id: string,
    incoming: AsyncIterator<ClientCommand>,
    actor: Actor,
    signal: AbortSignal,
  ): AsyncGenerator<JobEvent> {
    const { live, clock, inputs, silence = defaultSilence } = this.#parts;
    const gate = new RateGate();
    gate.setRate(start.rate?.eventsPerSecond);
    const job = await this.#begin(start, id, actor);
    const wantsCancel = () => start.cancelOnClose && !hasEnded(job.record);
    // Where the client has gone while an event waits to be sent, `finally` does not run.
    let isOpen = true;
    const broken = () => {
      if (isOpen && wantsCancel() && !this.#isStopping) this.#cancel(job, actor);
      isOpen = false;
    };
    signal.addEventListener("abort", broken, { once: true });
    try {
      if (signal.aborted) return;
      const view = new JobView(live.store.journal, job);
      const logStart = start.withoutLog ? undefined : await this.#logStart(start, view);
      const commands = new ConsoleCommands(this.#parts, job.id, actor, gate);
      const takesInput = () => live.workers.jobType(job.record.type)?.takesInput ?? false;
      const input = new ConsoleInputs(inputs, job, takesInput, actor, commands);
      const words = {
        sentMs: performance.now(),
        get silentSinceMs() {
          return commands.silentSinceMs;
        },
      };
      gate.count(1);
      yield event({ case: "state", value: view.record });
      const progress = this.#newestProgress(view.record);
      const seen = live.jobs.vitals.version;
      if (progress) {
        gate.count(1);
        yield event({ case: "progress", value: progress });
      }
      const over = new AbortController();
      let follows = 2;
      let hasLeft = false;
      const events = merge(
        (stop) => [
          commands.answers(stop),
          signsOfLife(words, gate, clock, stop, silence),
          atEnd(states(view, gate, stop), () => --follows === 0 && over.abort()),
          atEnd(this.#lines(view, logStart, gate, stop), () => --follows === 0 && over.abort()),
          this.#progress(job, seen, gate, stop),
          inputStates(input, gate, stop),
          input.store(stop),
          atEnd(commands.listen(incoming, input, stop), () => {
            hasLeft = !stop.aborted;
            over.abort();
          }),
        ],
        AbortSignal.any([signal, over.signal]),
      );
      for await (const each of events) {
        words.sentMs = performance.now();
        yield each;
      }
      if (signal.aborted) return;
      yield* commands.takeAnswers();
      if (hasLeft) {
        isOpen = false;
        if (wantsCancel()) this.#cancel(job, actor);
        return;
      }
      isOpen = false;
      const state = input.untold();
      if (state) yield event({ case: "input", value: state });
      yield await this.#done(view);
    } finally {
      signal.removeEventListener("abort", broken);
      broken();
    }
  }

  async #begin(start: Start, id: string, actor: Actor): Promise<Job> {
    const { live, steering } = this.#parts;
    if (start.jobId !== "") return live.jobs.get(start.jobId);
    const { type, name, parameters, labels, levers, workerId, workerSelector } = start;
    const request = create(StartJobRequestSchema, {
      ...{ requestId: id || randomUUID(), type, name, labels, levers, workerId, workerSelector },
      ...(parameters ? { parameters } : {}),
    });
    return live.jobs.get((await steering.start(request, actor)).id);
  }

  /** Where the log begins: at a line, so many before the end, at the end of a job that is joined, or at the first line. */
  async #logStart({ jobId, attempt: wanted, fromLine, lastLines }: Start, { record }: JobView): Promise<LogStart> {
    const newest = record.attempts.at(-1)?.number ?? 0;
    const first = Math.max(1, Number(fromLine));
    // The one that comes next: what a client asks for that has heard nothing of the log before it lost its stream.
    if (wanted === newest + 1) return { after: newest, fromLine: first };
    if (wanted > newest) throw new Refused("not-found", `Job ${record.id} has no attempt ${wanted}.`);
    const attempt = wanted || newest;
    const isAtEnd = fromLine === 0n && jobId !== "" && attempt > 0;
    if (!isAtEnd) return { after: attempt - 1, fromLine: first };
    const end = await this.#parts.live.logs.end(record.id, attempt);
    return { after: attempt - 1, fromLine: Math.max(1, end.nextLine - lastLines) };
  }

  async *#lines(
    view: JobView,
    start: LogStart | undefined,
    gate: RateGate,
    signal: AbortSignal,
  ): AsyncGenerator<JobEvent> {
    if (!start) return;
    for await (const value of consoleLog(this.#parts.live, view, start, gate, signal))
      yield event({ case: "log", value });
  }

  /** The newest progress after version `seen`, as the rate allows. */
  async *#progress(job: Job, seen: number, gate: RateGate, signal: AbortSignal): AsyncGenerator<JobEvent> {
    const { vitals } = this.#parts.live.jobs;
    while (!signal.aborted) {
      await pause(progressEveryMs, signal);
      if (vitals.changedSince(seen, job.id).length === 0) continue;
      const turn = await gate.turn(signal);
      if (!turn) return;
      const value = vitals.get(job.id);
      seen = vitals.version;
      turn.end(value ? 1 : 0);
      if (value) yield event({ case: "progress", value });
    }
  }

  async #done({ record }: JobView): Promise<JobEvent> {
    const attempt = record.attempts.at(-1)?.number;
    const end = attempt === undefined ? undefined : await this.#parts.live.logs.end(record.id, attempt);
    const progress = this.#newestProgress(record);
    const value = create(DoneSchema, {
      job: record,
      endLine: BigInt(end?.nextLine ?? 1),
      ...(progress ? { progress } : {}),
    });
    return event({ case: "done", value });
  }

  /** Of an attempt that began after the record, nothing. */
  #newestProgress(record: JobRecord): Vitals | undefined {
    const newest = this.#parts.live.jobs.vitals.get(record.id);
    return newest?.attempt === (record.attempts.at(-1)?.number ?? 0) ? newest : record.vitals;
  }

  /** Cancels the job of a console that was closed, and asked for that. */
  #cancel(job: Job, actor: Actor): void {
    const run = { mode: RunMode.CANCEL, graceMs: defaultGraceMs, reason: "its console was closed" };
    const command = create(CommandSchema, { action: { case: "set", value: { value: { case: "run", value: run } } } });
    const work = this.#parts.steering
      .command(job.id, command, randomUUID(), actor)
      .then(
        () => undefined,
        (error: unknown) => {
          // It ended at the same moment, or is being canceled already.
          if (!(error instanceof Refused))
            this.#parts.logger.error({ err: error, job: job.id }, "the job of a closed console was not canceled");
        },
      )
      .finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
  }
}

function event(event: JobEvent["event"]): JobEvent {
  return create(JobEventSchema, { event });
}

async function* states(view: JobView, gate: RateGate, signal: AbortSignal): AsyncGenerator<JobEvent> {
  for await (const value of view.records(signal)) {
    gate.count(1);
    yield event({ case: "state", value });
  }
}

async function* inputStates(input: ConsoleInputs, gate: RateGate, signal: AbortSignal): AsyncGenerator<JobEvent> {
  for await (const value of input.states(gate, signal)) yield event({ case: "input", value });
}

async function* atEnd<T>(source: AsyncGenerator<T>, then: () => void): AsyncGenerator<T> {
  yield* source;
  then();
}
