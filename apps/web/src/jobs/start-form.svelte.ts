import { create, type JsonObject } from "@bufbuild/protobuf";
import { Level, LeverValueSchema, RunMode, type JobRecord, type JobType, type LeverValue } from "@signalbox/protocol";
import { setting } from "./job-state.ts";
import { addLabels } from "./labels.ts";
import { speedOf } from "./lever-view.ts";
import { lastingValue } from "./hold.ts";
import { levelOf, logLevelValue } from "./log-level.ts";
import { ParameterForm } from "./parameter-form.svelte.ts";
import { wantedParameters } from "./parameters.ts";
import { highestPriority, priorityValue, wantedPriority } from "./priority.ts";
import { parseSpeed } from "./speed-steps.ts";
import type { StartRequest } from "./start-request.ts";

/** What was typed into the form that starts jobs of one type. */
export class StartForm {
  readonly type: JobType;
  readonly parameters: ParameterForm;
  name = $state("");
  speed = $state("");
  speedFault = $state("");
  labels = $state.raw<Record<string, string>>({});
  /** A label that was typed and not taken yet. */
  label = $state("");
  labelFault = $state("");
  priority = $state("0");
  priorityFault = $state("");
  /** UNSPECIFIED: none is asked for. */
  level = $state<Level>(Level.UNSPECIFIED);
  paused = $state(false);

  constructor(type: JobType) {
    this.type = type;
    this.parameters = new ParameterForm(type.parametersSchema);
    if (type.defaultItemsPerSecond !== undefined) this.speed = String(type.defaultItemsPerSecond);
  }

  get hasSpeed(): boolean {
    return this.type.levers.includes("speed");
  }

  get hasLevel(): boolean {
    return this.type.levers.includes("log_level");
  }

  /** Fills everything in as a job was started, or stands now. Its name stays its own. */
  fill(job: JobRecord): void {
    this.parameters.fill(wantedParameters(job));
    this.labels = { ...job.labels };
    const speed = speedOf(lastingValue(job, "speed"));
    this.speed = setting(job, "speed") ? (speed === undefined ? "" : String(speed)) : this.speed;
    this.level = setting(job, "logLevel") ? levelOf(lastingValue(job, "logLevel")) : Level.UNSPECIFIED;
    this.priority = String(wantedPriority(job));
    this.name = job.name === job.type ? "" : job.name;
    this.speedFault = this.labelFault = this.priorityFault = "";
  }

  /** Everything as a request; undefined if something is wrong, which the faults say. */
  read(): StartRequest | undefined {
    const parameters = this.parameters.read();
    const levers: LeverValue[] = [];
    this.speedFault = this.labelFault = this.priorityFault = "";
    if (this.hasSpeed) {
      const speed = parseSpeed(this.speed);
      if (this.speed.trim() !== "" && speed === undefined) this.speedFault = "Speed limit must be a number above 0";
      levers.push(speedValue(speed));
    }
    const priority = Number(this.priority.trim().replace("−", "-"));
    if (!Number.isInteger(priority) || Math.abs(priority) > highestPriority)
      this.priorityFault = `Priority must be a whole number from −${highestPriority} to ${highestPriority}`;
    else if (priority !== 0) levers.push(priorityValue(priority));
    if (this.hasLevel && this.level !== Level.UNSPECIFIED) levers.push(logLevelValue(this.level));
    if (this.paused) levers.push(create(LeverValueSchema, { value: { case: "run", value: { mode: RunMode.PAUSE } } }));
    const labels = addLabels(this.label, this.labels);
    if ("wrong" in labels) this.labelFault = labels.wrong;
    if (!parameters || this.speedFault || this.priorityFault || "wrong" in labels) return undefined;
    return {
      type: this.type.name,
      name: this.name.trim(),
      parameters: plain(parameters),
      labels: labels.labels,
      levers,
    };
  }
}

function speedValue(itemsPerSecond: number | undefined): LeverValue {
  return create(LeverValueSchema, {
    value: { case: "speed", value: itemsPerSecond === undefined ? {} : { itemsPerSecond } },
  });
}

function plain(parameters: JsonObject): JsonObject {
  return structuredClone(parameters);
}
