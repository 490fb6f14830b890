import { Code, ConnectError, type Client } from "@connectrpc/connect";
import { create, type JsonObject } from "@bufbuild/protobuf";
import {
  CommandSchema,
  HoldSchema,
  Level,
  LeverValueSchema,
  RunMode,
  type Command,
  type Hold,
  type JobRecord,
  type JobService,
  type LeverValue,
} from "@signalbox/protocol";
import { SvelteMap } from "svelte/reactivity";
import { faultText, faultTitle, MovedBefore } from "./command-faults.ts";
import { InputSender } from "./input-sender.ts";
import { setting, type LeverName } from "./job-state.ts";
import { lastingValue } from "./hold.ts";
import { logLevelValue } from "./log-level.ts";
import { parametersValue } from "./parameters.ts";
import { priorityValue } from "./priority.ts";

/* eslint-disable svelte/prefer-svelte-reactivity -- timers, queues and request ids are never read by components */

/** Where the newest records are, and where those that come with answers go. */
export interface JobRecords {
  record(id: string): JobRecord | undefined;
  learn(job: JobRecord): void;
}

/** A command that did not happen: what, and why. */
export interface CommandFault {
  readonly jobId: string;
  readonly title: string;
  readonly text: string;
}

/** How long a cancel can be taken back before it is sent, milliseconds. */
export const cancelDelayMs = 4_000;
/** How long a cancelled job may take to end by itself, milliseconds. */
export const graceMs = 10_000;
/** Presses of + and − within so many milliseconds are one command. */
const gatherMs = 250;

/**
 * Moves levers. A handle moves at once (`asked`); what became of it is the record's to tell. Commands on one job are sent one after
 * the other, each on top of the generation that was seen; where somebody else moved the same lever meanwhile, nothing is changed and
 * the fault says who did.
 */
export class Commands {
  readonly #client: Client<typeof JobService>;
  readonly #records: JobRecords;
  readonly #onFault: (fault: CommandFault) => void;
  /** Values on their way to the server, by `job/lever`. */
  readonly #asked = new SvelteMap<string, LeverValue>();
  readonly #faults = new SvelteMap<string, CommandFault>();
  /** When each counted-down cancel is sent, by job, milliseconds since the Unix epoch. */
  readonly #cancels = new SvelteMap<string, number>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #lines = new Map<string, Promise<unknown>>();

  constructor(
    client: Client<typeof JobService>,
    records: JobRecords,
    onFault: (fault: CommandFault) => void = () => {},
  ) {
    this.#client = client;
    this.#records = records;
    this.#onFault = onFault;
  }

  /** The value that was asked here and is not in the job's record yet. */
  asked(jobId: string, lever: LeverName): LeverValue | undefined {
    return this.#asked.get(`${jobId}/${lever}`);
  }

  /** The newest command on a lever that did not happen; gone with the next one on it. */
  fault(jobId: string, lever: LeverName): CommandFault | undefined {
    return this.#faults.get(`${jobId}/${lever}`);
  }

  /** The newest fault of any of a job's levers. */
  anyFault(jobId: string): CommandFault | undefined {
    for (const lever of ["run", "speed", "logLevel", "priority", "parameters"] as const) {
      const fault = this.fault(jobId, lever);
      if (fault) return fault;
    }
    return undefined;
  }

  /** When a cancel that can still be taken back is sent; undefined if none is counting. */
  cancelAtMs(jobId: string): number | undefined {
    return this.#cancels.get(jobId);
  }

  pause(jobId: string): void {
    void this.#set(jobId, run(RunMode.PAUSE));
  }

  resume(jobId: string): void {
    void this.#set(jobId, run(RunMode.RUN));
  }

  /** Starts the countdown to a cancel; while it counts, cancels at once. */
  cancel(jobId: string): void {
    if (this.#cancels.has(jobId)) {
      this.#endCountdown(jobId);
      void this.#set(jobId, run(RunMode.CANCEL, graceMs));
      return;
    }
    this.#cancels.set(jobId, Date.now() + cancelDelayMs);
    this.#timers.set(
      `${jobId}/cancel`,
      setTimeout(() => this.cancel(jobId), cancelDelayMs),
    );
  }

  /** Takes a counting cancel back: nothing was sent. */
  keep(jobId: string): void {
    this.#endCountdown(jobId);
  }

  /** Shortens the grace of a cancel to nothing. */
  stopNow(jobId: string): void {
    void this.#set(jobId, run(RunMode.CANCEL, 0));
  }

  /** Sets the speed limit, items per second; undefined is unlimited. Quick presses are gathered into one command. */
  speed(jobId: string, itemsPerSecond: number | undefined, gather = false): void {
    const value = create(LeverValueSchema, {
      value: { case: "speed", value: itemsPerSecond === undefined ? {} : { itemsPerSecond } },
    });
    const key = `${jobId}/speed`;
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    if (!gather) {
      void this.#set(jobId, value);
      return;
    }
    this.#asked.set(key, value);
    this.#faults.delete(key);
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        void this.#set(jobId, value);
      }, gatherMs),
    );
  }

  /** Sets the lowest level that the worker sends: for good, or for so many milliseconds and then back to what counts for good. */
  logLevel(jobId: string, level: Level, forMs = 0): void {
    const job = this.#records.record(jobId);
    const then = (job && lastingValue(job, "logLevel")) ?? logLevelValue(Level.TRACE);
    const hold = forMs > 0 ? create(HoldSchema, { durationMs: BigInt(forMs), then }) : undefined;
    void this.#set(jobId, logLevelValue(level), hold);
  }

  /** Ends a level that counts for a time before its time. */
  endLogLevelHold(jobId: string): void {
    const job = this.#records.record(jobId);
    const then = job && lastingValue(job, "logLevel");
    if (then) void this.#set(jobId, then);
  }

  /** Moves a waiting job in the queue. */
  priority(jobId: string, priority: number): void {
    void this.#set(jobId, priorityValue(priority));
  }

  /** Sets all parameters. Resolves when the server has stored or refused them, with the fault if it refused. */
  parameters(jobId: string, parameters: JsonObject): Promise<CommandFault | undefined> {
    return this.#set(jobId, parametersValue(parameters));
  }

  /** Sends what is typed into one attempt. */
  inputSender(jobId: string, attempt: number): InputSender {
    return new InputSender(this.#client, jobId, attempt);
  }

  /** Ends a lost job without its worker's word. */
  giveUp(jobId: string, reason: string): void {
    void this.#queue(jobId, "run", "The attempt was not given up", () =>
      this.#send(jobId, create(CommandSchema, { action: { case: "giveUp", value: { reason } } })),
    );
  }

  /** Queues another attempt. */
  retry(jobId: string): void {
    void this.#queue(jobId, "run", "No new attempt", async () => {
      const { job } = await this.#client.retryJob({ requestId: crypto.randomUUID(), jobId });
      if (job) this.#records.learn(job);
    });
  }

  /** Ends timers. Cancels that still count down are not sent. */
  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#cancels.clear();
  }

  #endCountdown(jobId: string): void {
    clearTimeout(this.#timers.get(`${jobId}/cancel`));
    this.#timers.delete(`${jobId}/cancel`);
    this.#cancels.delete(jobId);
  }

  #set(jobId: string, value: LeverValue, hold?: Hold): Promise<CommandFault | undefined> {
    const lever = value.value.case;
    if (!lever) return Promise.resolve(undefined);
    const key = `${jobId}/${lever}`;
    const before = this.#records.record(jobId);
    const seen = before && setting(before, lever)?.generation;
    this.#asked.set(key, value);
    const name = before?.name || jobId;
    return this.#queue(jobId, lever, `${name}: ${faultTitle(value)}`, async () => {
      try {
        await this.#setOnTop(jobId, value, hold, lever, seen);
      } finally {
        if (this.#asked.get(key) === value) this.#asked.delete(key);
      }
    });
  }

  /** Sets a lever on top of the newest generation, as long as the lever itself is as it was `seen`. */
  async #setOnTop(
    jobId: string,
    value: LeverValue,
    hold: Hold | undefined,
    lever: LeverName,
    seen: bigint | undefined,
  ): Promise<void> {
    let ours = seen;
    for (let tries = 0; ; tries++) {
      const job = this.#records.record(jobId);
      const now = job && setting(job, lever);
      // Our own commands before this one have moved the lever too; those of others are for people to judge.
      if (now && ours !== undefined && now.generation > ours && !this.#isOurs(job, now.generation))
        throw new MovedBefore(job, lever);
      ours = now?.generation;
      try {
        await this.#send(
          jobId,
          create(CommandSchema, {
            action: { case: "set", value },
            ifGeneration: job?.spec?.generation ?? 0n,
            ...(hold ? { hold } : {}),
          }),
        );
        return;
      } catch (error) {
        if (ConnectError.from(error).code !== Code.Aborted || tries === 3) throw error;
        // Something else of the job changed. If it was another lever, the click means what it meant.
        const { job: fresh } = await this.#client.getJob({ jobId });
        if (fresh) this.#records.learn(fresh);
      }
    }
  }

  readonly #sent = new Set<string>();

  #isOurs(job: JobRecord, generation: bigint): boolean {
    const receipt = job.receipts.find((each) => each.generation === generation);
    return receipt !== undefined && this.#sent.has(receipt.requestId);
  }

  async #send(jobId: string, command: Command): Promise<void> {
    const requestId = crypto.randomUUID();
    this.#sent.add(requestId);
    const { job } = await this.#client.sendCommand({ requestId, jobId, command });
    if (job) this.#records.learn(job);
  }

  /** Runs `act` after what was asked of this job before; a failure becomes the lever's fault, and is what the promise holds. */
  #queue(jobId: string, lever: LeverName, title: string, act: () => Promise<void>): Promise<CommandFault | undefined> {
    const key = `${jobId}/${lever}`;
    this.#faults.delete(key);
    const line = (this.#lines.get(jobId) ?? Promise.resolve(undefined)).then(act).then(
      () => undefined,
      (error: unknown) => {
        const fault = { jobId, title, text: faultText(error) };
        this.#faults.set(key, fault);
        this.#onFault(fault);
        return fault;
      },
    );
    this.#lines.set(jobId, line);
    void line.then(() => this.#lines.get(jobId) === line && this.#lines.delete(jobId));
    return line;
  }
}

function run(mode: RunMode, grace = 0): LeverValue {
  return create(LeverValueSchema, { value: { case: "run", value: { mode, graceMs: grace, reason: "" } } });
}
