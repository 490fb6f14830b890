import { RunMode, type JobRecord, type JobType } from "@signalbox/protocol";
import type { KeyMap } from "../ui/keys.ts";
import type { Commands } from "./commands.svelte.ts";
import { seenState, setting, wantedRun } from "./job-state.ts";
import { runLever, speedOf } from "./lever-view.ts";
import { stepSpeed } from "./speed-steps.ts";

/** What the keys of a job's levers act on, asked anew at each press. */
export interface LeverKeysOn {
  /** The job under the keys; undefined: there is none. */
  job(): JobRecord | undefined;
  /** Its type, if known. */
  typeOf(job: JobRecord): JobType | undefined;
  /** Whether what is shown is current. */
  isLive(): boolean;
}

/** The keys of run, speed and cancel. One that would do nothing does nothing. */
export function leverKeys(on: LeverKeysOn, commands: Commands): KeyMap {
  const act = (does: (job: JobRecord) => void) => () => {
    const job = on.job();
    if (job && on.isLive() && !seenState(job).ended) does(job);
  };
  const move = (does: (job: JobRecord) => void) =>
    act((job) => {
      const context = { sent: undefined, fault: undefined, offered: on.typeOf(job)?.levers, nowMs: 0 };
      if (runLever(job, undefined, context).phase !== "fixed") does(job);
    });
  const speedBy = (direction: 1 | -1) =>
    act((job) => {
      const type = on.typeOf(job);
      if (type && !type.levers.includes("speed")) return;
      const value = commands.asked(job.id, "speed") ?? setting(job, "speed")?.value;
      const limit = value ? speedOf(value) : type?.defaultItemsPerSecond;
      if (limit !== undefined) commands.speed(job.id, stepSpeed(limit, direction), true);
    });
  return {
    p: move((job) => commands.pause(job.id)),
    r: move((job) => commands.resume(job.id)),
    c: act((job) => wantedRun(job) !== RunMode.CANCEL && commands.cancel(job.id)),
    z: () => {
      const job = on.job();
      if (job && commands.cancelAtMs(job.id) !== undefined) commands.keep(job.id);
      else commands.keepNewest();
    },
    "+": speedBy(1),
    "=": speedBy(1),
    "-": speedBy(-1),
  };
}
