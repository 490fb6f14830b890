import type { JobRecord, JobType, Vitals } from "@signalbox/protocol";
import type { Commands, FaultPlace } from "./commands.svelte.ts";
import type { LeverName } from "./job-state.ts";
import type { LeverContext, LeverView } from "./lever-view.ts";

/** What each lever of the frame is given. */
export interface LeverProps {
  readonly job: JobRecord;
  readonly vitals: Vitals | undefined;
  readonly commands: Commands;
  /** The job's type as workers offer it; undefined: not known. */
  readonly type: JobType | undefined;
  /** Whether what is shown is current. Only then do levers move. */
  readonly live: boolean;
  /** Server clock, milliseconds since the Unix epoch. */
  readonly nowMs: number;
  /** Why there can be no other attempt; undefined: nothing is known against it. */
  readonly noRetry?: string | undefined;
}

/** Levers whose menu or form a key opens. */
export type OpenedLever = "logLevel" | "priority" | "parameters";

/** What a lever's view is made from besides the job's record. */
export function contextOf({ job, vitals, commands, type, nowMs }: LeverProps, lever: LeverName): LeverContext {
  return {
    sent: commands.asked(job.id, lever),
    fault: commands.fault(job.id, lever)?.text,
    offered: type?.levers,
    vitals,
    systemStop: type?.systemStop ?? false,
    nowMs,
  };
}

/** Something that can be done about what a lever says, beside its words. */
export interface LeverLink {
  readonly label: string;
  /** Why it cannot be done now. */
  readonly why: string | undefined;
  readonly act: () => void;
}

/** What can be done where a lever hangs, or where somebody else was faster. */
export function linksOf({ job, commands, live }: LeverProps, place: FaultPlace, view?: LeverView): LeverLink[] {
  if (view?.phase === "fixed") return [];
  const why = whyAway(live);
  const choice = commands.fault(job.id, place)?.choice;
  if (choice)
    return [
      { label: choice.label, why, act: choice.again },
      { label: "Leave it", why: undefined, act: () => commands.leave(job.id, place) },
    ];
  const open = view?.open;
  if (!open?.wait.slow) return [];
  if (open.wait.stronger === "take-back")
    return [{ label: "Take back", why, act: () => commands.takeBack(job.id, open.receipt) }];
  if (open.wait.stronger === "system-stop")
    return [{ label: "Stop by the system", why, act: () => commands.systemStop(job.id) }];
  return [];
}

/** Why levers do not move while the page is not live; undefined while it is. */
export function whyAway(live: boolean): string | undefined {
  return live ? undefined : "Not live: the page cannot know whether it would still be right";
}

/** Why a lever's control does nothing now; undefined if it moves. */
export function whyStill(live: boolean, view: LeverView): string | undefined {
  return whyAway(live) ?? (view.phase === "fixed" ? sentence(view.note) : undefined);
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
