import { randomUUID } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  AcceptedSchema,
  CommandSchema,
  ConsoleHeartbeatSchema,
  JobEventSchema,
  RefusedSchema,
  RunMode,
  type Actor,
  type ClientCommand,
  type Command,
  type HoldSchema,
  type JobEvent,
  type LeverValueSchema,
} from "@signalbox/protocol";
import type { Clock } from "../../clock.ts";
import type { Steering } from "../../jobs/steering.ts";
import { Refused } from "../../refused.ts";
import { Wake } from "../../wake.ts";
import type { ConsoleInputs, InputAnswers } from "./console-input.ts";
import type { RateGate } from "./rate-gate.ts";

/** How long a job that is canceled may take to end by itself where nobody says it, milliseconds. */
export const defaultGraceMs = 10_000;
/** So many answers wait at most for a client that does not read; beyond, nothing more of what it says is read. */
const mostAnswers = 256;

/** Why something was refused, as a client is told. */
export interface Refusal {
  /** A gRPC status code. */
  readonly code: number;
  readonly reason: string;
  /** Of input: where the next piece begins, if the refusal says so. */
  readonly nextOffset: bigint | undefined;
}

/** What commands act upon. */
export interface CommandParts {
  readonly steering: Steering;
  readonly clock: Clock;
  /** Tells why something failed, and reports what was not expected. */
  readonly explain: (error: unknown) => Refusal;
}

/** What the client of a console says, one command after the other, and what it is answered. */
export class ConsoleCommands implements InputAnswers {
  readonly #parts: CommandParts;
  readonly #jobId: string;
  readonly #actor: Actor;
  readonly #gate: RateGate;
  readonly #answers: JobEvent["event"][] = [];
  readonly #answered = new Wake();
  readonly #room = new Wake();
  #isHeartbeatDue = false;
  #heardMs = performance.now();
  #isListening = false;

  constructor(parts: CommandParts, jobId: string, actor: Actor, gate: RateGate) {
    this.#parts = parts;
    this.#jobId = jobId;
    this.#actor = actor;
    this.#gate = gate;
  }

  /** Since when nothing was heard, as performance.now(); undefined while nothing is listened to. */
  get silentSinceMs(): number | undefined {
    return this.#isListening ? this.#heardMs : undefined;
  }

  /** Carries out what comes until the client ends its side. Yields nothing. */
  async *listen(
    incoming: AsyncIterator<ClientCommand>,
    inputs: ConsoleInputs,
    signal: AbortSignal,
  ): AsyncGenerator<never> {
    while (!signal.aborted) {
      this.#heardMs = performance.now();
      this.#isListening = true;
      const next = await incoming.next();
      this.#isListening = false;
      if (next.done) {
        await inputs.settle(signal);
        return;
      }
      const { id, command } = next.value;
      if (command.case === "heartbeat") {
        this.#isHeartbeatDue = true;
        this.#answered.notify();
      } else if (command.case === "input") await inputs.take(id, command.value, signal);
      else await this.#carryOut(id, command);
      while (this.#answers.length >= mostAnswers && !signal.aborted) await this.#room.wait(signal);
    }
    yield* [];
  }

  /** What commands are answered, as it comes. */
  async *answers(signal: AbortSignal): AsyncGenerator<JobEvent> {
    while (!signal.aborted) {
      yield* this.takeAnswers();
      await this.#answered.wait(signal);
    }
  }

  /** The answers that are there. */
  *takeAnswers(): Generator<JobEvent> {
    for (;;) {
      let event = this.#answers.shift();
      this.#room.notify();
      if (!event && this.#isHeartbeatDue) {
        this.#isHeartbeatDue = false;
        const value = create(ConsoleHeartbeatSchema, { serverTimeUs: BigInt(this.#parts.clock()) });
        event = { case: "heartbeat", value };
      }
      if (!event) return;
      this.#gate.count(1);
      yield create(JobEventSchema, { event });
    }
  }

  stored(id: string): void {
    if (id !== "") this.#accept(id, 0n);
  }

  refused(id: string, error: unknown, nextOffset = 0n): void {
    const { code, reason, nextOffset: expected = nextOffset } = this.#parts.explain(error);
    this.#answer({ case: "refused", value: create(RefusedSchema, { id, code, reason, nextOffset: expected }) });
  }

  async #carryOut(id: string, command: ClientCommand["command"]): Promise<void> {
    try {
      if (command.case === "setRate") {
        this.#gate.setRate(command.value.eventsPerSecond);
        this.#accept(id, 0n);
        return;
      }
      const requestId = id || randomUUID();
      const { steering } = this.#parts;
      const { generation } = await steering.command(this.#jobId, commandOf(command), requestId, this.#actor);
      this.#accept(id, generation);
    } catch (error) {
      this.refused(id, error);
    }
  }

  #accept(id: string, generation: bigint): void {
    this.#answer({ case: "accepted", value: create(AcceptedSchema, { id, generation }) });
  }

  #answer(event: JobEvent["event"]): void {
    this.#answers.push(event);
    this.#answered.notify();
  }
}

type Value = NonNullable<MessageInitShape<typeof LeverValueSchema>["value"]>;

/** What a console's command asks of the job. Throws Refused for one that asks nothing of it. */
function commandOf(command: ClientCommand["command"]): Command {
  const set = (value: Value, hold?: MessageInitShape<typeof HoldSchema>) =>
    create(CommandSchema, { action: { case: "set", value: { value } }, ...(hold ? { hold } : {}) });
  switch (command.case) {
    case "pause":
      return set({ case: "run", value: { mode: RunMode.PAUSE, reason: command.value.reason } });
    case "resume":
      return set({ case: "run", value: { mode: RunMode.RUN } });
    case "cancel": {
      const { graceMs = defaultGraceMs, reason } = command.value;
      return set({ case: "run", value: { mode: RunMode.CANCEL, graceMs, reason } });
    }
    case "setSpeed":
      return set({ case: "speed", value: command.value });
    case "setLogLevel": {
      const { level, holdMs } = command.value;
      if (!level) throw new Refused("invalid", "The log level was not set: the command names none.");
      return set({ case: "logLevel", value: level }, holdMs > 0n ? { durationMs: holdMs } : undefined);
    }
    case "setPriority":
      return set({ case: "priority", value: command.value });
    case "setParameters":
      return set({ case: "parameters", value: command.value });
    case "start":
      throw new Refused("wrong-state", "Start is said once, as the first command of RunJob.");
    default:
      throw new Refused("invalid", "The command is none that this server knows.");
  }
}
