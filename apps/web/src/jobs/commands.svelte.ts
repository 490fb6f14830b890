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
  type Receipt,
} from "@signalbox/protocol";
import { SvelteMap } from "svelte/reactivity";
import { againLabel, faultText, faultTitle, MovedBefore, Unconfirmed } from "./command-faults.ts";
import { InputSender } from "./input-sender.ts";
import { seenState, setting, type LeverName } from "./job-state.ts";
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

/** Where a fault is shown: at a lever, or at the end of the job (cancel, give up, retry). */
export type FaultPlace = LeverName | "end";

/** A command that did not happen, or that nobody confirmed: what, and why. */
export interface CommandFault {
  readonly jobId: string;
  readonly title: string;
  readonly text: string;
  /** Somebody else was faster: the same can be asked for again, on top of what they did. */
  readonly choice: { readonly label: string; readonly again: () => void } | undefined;
  /** Of a command that was not confirmed: a receipt with this id says that it happened. */
  readonly requestId?: string | undefined;
}

/** A fault, and how many attempts of its job had ended by then. */
interface KeptFault extends CommandFault {
  readonly ends: number;
}

/** A cancel that counts down. */
interface Countdown {
  /** When it is sent, milliseconds since the Unix epoch. */
  readonly atMs: number;
  /** The run lever as it was shown when it was asked for. */
  readonly seen: bigint;
}

/** How long a cancel can be taken back before it is sent, milliseconds. */
export const cancelDelayMs = 4_000;
/** How long a cancelled job may take to end by itself, milliseconds. */
export const graceMs = 10_000;
/** Presses of + and − within so many milliseconds are one command. */
const gatherMs = 250;

/**
 * Moves levers. A handle moves at once (`asked`); what became of it is the record's to tell. Commands on one job are sent one after
 * the other.
 *
 * Every move of a lever carries the generation that the page showed: a click means 'from what I see', on the run lever as on speed, where
 * a step counts from the present limit, and on parameters, which are replaced whole. Where somebody else moved the same lever meanwhile,
 * nothing is changed, the fault says who did, and the choice is offered again. A move of another lever takes nothing from the meaning of a
 * click: it is sent again on top. A shorter grace and a give-up carry none: they contradict nobody.
 */
export class Commands {
  readonly #client: Client<typeof JobService>;
  readonly #records: JobRecords;
  readonly #onFault: (fault: CommandFault) => void;
  readonly #now: () => number;
  /** Values on their way to the server, by `job/lever`. */
  readonly #asked = new SvelteMap<string, LeverValue>();
  readonly #faults = new SvelteMap<string, KeptFault>();
  /** Cancels that count down, by job. */
  readonly #cancels = new SvelteMap<string, Countdown>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  readonly #lines = new Map<string, Promise<unknown>>();
  /** The generation that the first of the presses showed that are being gathered, by `job/lever`. */
  readonly #gathered = new Map<string, bigint>();

  /** `now` is the server's clock, milliseconds since the Unix epoch. */
  constructor(
    client: Client<typeof JobService>,
    records: JobRecords,
    onFault: (fault: CommandFault) => void = () => {},
    now: () => number = Date.now,
  ) {
    this.#client = client;
    this.#records = records;
    this.#onFault = onFault;
    this.#now = now;
  }

  /** The value that was asked here and is not in the job's record yet. */
  asked(jobId: string, lever: LeverName): LeverValue | undefined {
    return this.#asked.get(`${jobId}/${lever}`);
  }

  /**
   * The newest command on a lever that did not happen; gone with the next one on it. A click was meant for what ran then: when that has
   * ended, what is said of it is gone too, and with it what it offers. What is left is what belongs to the end itself. Of a command that was
   * not confirmed nothing is said any more once its receipt is there.
   */
  fault(jobId: string, place: FaultPlace): CommandFault | undefined {
    const fault = this.#faults.get(`${jobId}/${place}`);
    const job = this.#records.record(jobId);
    if (fault?.requestId && job?.receipts.some(({ requestId }) => requestId === fault.requestId)) return undefined;
    if (!fault || (place === "end" && !fault.choice)) return fault;
    return job && (seenState(job).ended || endsOf(job) !== fault.ends) ? undefined : fault;
  }

  /** Leaves it at what others did: the fault is not shown any more. */
  leave(jobId: string, place: FaultPlace): void {
    this.#faults.delete(`${jobId}/${place}`);
  }

  /** The newest fault of any of a job's levers. */
  anyFault(jobId: string): CommandFault | undefined {
    for (const place of ["run", "speed", "logLevel", "priority", "parameters", "end"] as const) {
      const fault = this.fault(jobId, place);
      if (fault) return fault;
    }
    return undefined;
  }

  /** When a cancel that can still be taken back is sent; undefined if none is counting. */
  cancelAtMs(jobId: string): number | undefined {
    return this.#cancels.get(jobId)?.atMs;
  }

  /** The jobs whose cancel can still be taken back, the newest last. */
  get held(): readonly string[] {
    return [...this.#cancels.keys()];
  }

  pause(jobId: string): void {
    void this.#set(jobId, run(RunMode.PAUSE));
  }

  resume(jobId: string): void {
    void this.#set(jobId, run(RunMode.RUN));
  }

  /** Pauses at once, where the job stands: by the system, without waiting for a safe point. */
  systemStop(jobId: string): void {
    void this.#set(jobId, run(RunMode.PAUSE, { bySystem: true }));
  }

  /** Takes a command back that its worker does not have yet. */
  takeBack(jobId: string, { generation, value }: Receipt): void {
    void this.#queue(jobId, value?.value.case ?? "run", "Not taken back", () =>
      this.#send(jobId, create(CommandSchema, { action: { case: "withdrawGeneration", value: generation } })),
    );
  }

  /** Starts the countdown to a cancel; while it counts, cancels at once. */
  cancel(jobId: string): void {
    if (this.#cancels.has(jobId)) {
      // Pressed again: what is shown now is what is meant.
      this.#endCountdown(jobId);
      void this.#set(jobId, run(RunMode.CANCEL, { graceMs }));
      return;
    }
    this.#faults.delete(`${jobId}/end`);
    this.#cancels.set(jobId, { atMs: Date.now() + cancelDelayMs, seen: this.#generation(jobId, "run") });
    this.#timers.set(
      `${jobId}/cancel`,
      setTimeout(() => this.#countedDown(jobId), cancelDelayMs),
    );
  }

  /** Sends a cancel whose time is up, unless the job was faster. */
  #countedDown(jobId: string): void {
    const countdown = this.#cancels.get(jobId);
    this.#endCountdown(jobId);
    const job = this.#records.record(jobId);
    const { word, ended } = job ? seenState(job) : { word: "", ended: false };
    if (ended) {
      const text = `It ended by itself before your cancel was sent: ${word.toLowerCase()}. Nothing was cancelled.`;
      this.#show(jobId, "end", { jobId, title: `${job?.name ?? jobId}: Not cancelled`, text, choice: undefined });
    } else void this.#set(jobId, run(RunMode.CANCEL, { graceMs }), undefined, countdown?.seen);
  }

  /** Takes a counting cancel back: nothing was sent. */
  keep(jobId: string): void {
    this.#endCountdown(jobId);
  }

  /** Takes the newest counting cancel back, if there is one. */
  keepNewest(): void {
    const newest = this.held.at(-1);
    if (newest !== undefined) this.keep(newest);
  }

  /** Shortens the grace of a cancel to nothing. */
  stopNow(jobId: string): void {
    void this.#set(jobId, run(RunMode.CANCEL), undefined, anyGeneration);
  }

  /** Sets the speed limit, items per second; undefined is unlimited. Quick presses are gathered into one command. */
  speed(jobId: string, itemsPerSecond: number | undefined, gather = false): void {
    const value = create(LeverValueSchema, {
      value: { case: "speed", value: itemsPerSecond === undefined ? {} : { itemsPerSecond } },
    });
    const key = `${jobId}/speed`;
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
    // A press means 'from what I see': what somebody else does while presses are gathered came after it.
    const seen = this.#gathered.get(key) ?? this.#generation(jobId, "speed");
    if (!gather) {
      this.#gathered.delete(key);
      void this.#set(jobId, value, undefined, seen);
      return;
    }
    this.#gathered.set(key, seen);
    this.#asked.set(key, value);
    this.#faults.delete(key);
    this.#timers.set(
      key,
      setTimeout(() => {
        this.#timers.delete(key);
        this.#gathered.delete(key);
        void this.#set(jobId, value, undefined, seen);
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

  /**
   * Sets all parameters, on top of the generation of the parameters that were `seen`; undefined: those that are shown now. Resolves when the
   * server has stored or refused them, with the fault if it refused.
   */
  parameters(jobId: string, parameters: JsonObject, seen?: bigint): Promise<CommandFault | undefined> {
    return this.#set(jobId, parametersValue(parameters), undefined, seen);
  }

  /** Sends what is typed into one attempt. */
  inputSender(jobId: string, attempt: number): InputSender {
    return new InputSender(this.#client, jobId, attempt);
  }

  /** Ends a lost job without its worker's word. */
  giveUp(jobId: string, reason: string): void {
    void this.#queue(jobId, "end", "The attempt was not given up", () =>
      this.#send(jobId, create(CommandSchema, { action: { case: "giveUp", value: { reason } } })),
    );
  }

  /** Queues another attempt. */
  retry(jobId: string): void {
    void this.retryWith(jobId, undefined);
  }

  /** Queues another attempt, with other parameters if some are given. Resolves with the fault if there will be none. */
  retryWith(jobId: string, parameters: JsonObject | undefined): Promise<CommandFault | undefined> {
    return this.#queue(jobId, "end", "No new attempt", async () => {
      const request = { requestId: crypto.randomUUID(), jobId, ...(parameters ? { parameters } : {}) };
      const { job } = await this.#client.retryJob(request);
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

  /** The generation of a lever as it is shown; 0 if it was never set. */
  #generation(jobId: string, lever: LeverName): bigint {
    const job = this.#records.record(jobId);
    return job ? (setting(job, lever)?.generation ?? 0n) : anyGeneration;
  }

  #set(jobId: string, value: LeverValue, hold?: Hold, given?: bigint): Promise<CommandFault | undefined> {
    const lever = value.value.case;
    if (!lever) return Promise.resolve(undefined);
    const key = `${jobId}/${lever}`;
    const clickedMs = this.#now();
    const seen = given ?? this.#generation(jobId, lever);
    this.#asked.set(key, value);
    const name = this.#records.record(jobId)?.name || jobId;
    const choice = { label: againLabel(value), again: () => void this.#set(jobId, value, hold) };
    return this.#queue(
      jobId,
      placeOf(value),
      `${name}: ${faultTitle(value)}`,
      async () => {
        try {
          await this.#setOnTop(jobId, value, hold, lever, seen, clickedMs);
        } finally {
          if (this.#asked.get(key) === value) this.#asked.delete(key);
        }
      },
      choice,
    );
  }

  /** Sets a lever on top of the newest generation, as long as the lever itself is as it was `seen`. */
  async #setOnTop(
    jobId: string,
    value: LeverValue,
    hold: Hold | undefined,
    lever: LeverName,
    seen: bigint,
    clickedMs: number,
  ): Promise<void> {
    let ours = seen;
    for (let tries = 0; ; tries++) {
      const job = this.#records.record(jobId);
      const now = job && setting(job, lever);
      // Our own commands before this one have moved the lever too; those of others are for people to judge.
      if (seen !== anyGeneration && now && now.generation > ours && !this.#isOurs(job, now.generation))
        throw new MovedBefore(job, lever, clickedMs);
      ours = now?.generation ?? ours;
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
    const { job } = await this.#client.sendCommand({ requestId, jobId, command }).catch((error: unknown) => {
      throw Unconfirmed.from(error, requestId);
    });
    if (job) this.#records.learn(job);
  }

  /** Runs `act` after what was asked of this job before; a failure becomes the fault of its place, and is what the promise holds. */
  #queue(
    jobId: string,
    place: FaultPlace,
    title: string,
    act: () => Promise<void>,
    choice?: CommandFault["choice"],
  ): Promise<CommandFault | undefined> {
    this.#faults.delete(`${jobId}/${place}`);
    const line = (this.#lines.get(jobId) ?? Promise.resolve(undefined)).then(act).then(
      () => undefined,
      (error: unknown) => {
        const offered = error instanceof MovedBefore ? choice : undefined;
        const requestId = error instanceof Unconfirmed ? error.requestId : undefined;
        const name = this.#records.record(jobId)?.name || jobId;
        const what = requestId ? `${name}: not confirmed` : title;
        return this.#show(jobId, place, { jobId, title: what, text: faultText(error), choice: offered, requestId });
      },
    );
    this.#lines.set(jobId, line);
    void line.then(() => this.#lines.get(jobId) === line && this.#lines.delete(jobId));
    return line;
  }

  #show(jobId: string, place: FaultPlace, fault: CommandFault): CommandFault {
    const job = this.#records.record(jobId);
    this.#faults.set(`${jobId}/${place}`, { ...fault, ends: job ? endsOf(job) : 0 });
    this.#onFault(fault);
    return fault;
  }
}

/** No generation of a lever: whatever it is on, the command means the same. */
const anyGeneration = -1n;

function run(mode: RunMode, more: { graceMs?: number; bySystem?: boolean } = {}): LeverValue {
  return create(LeverValueSchema, { value: { case: "run", value: { mode, ...more } } });
}

/** How many attempts of a job have ended. */
function endsOf({ attempts }: JobRecord): number {
  return attempts.filter(({ endedAtUs }) => endedAtUs > 0n).length;
}

/** Where it is said that a value was not set. */
function placeOf({ value }: LeverValue): FaultPlace {
  if (value.case === "run" && value.value.mode === RunMode.CANCEL) return "end";
  return value.case ?? "run";
}
