import type { TreeRoot } from "./process-tree.ts";

/** What a supervisor tells its guard, one JSON object a line. */
export type GuardWord =
  /** These processes shall not outlive the supervisor. Said again when more is known. */
  | { readonly watch: TreeRoot }
  /** They have ended, or may live on. The marker that was watched. */
  | { readonly forget: string };

/** First argument of the guard's process, so that `ps` shows what it is for. */
export const guardTitle = "signalbox-guard:ends-what-a-killed-supervisor-leaves-behind";
