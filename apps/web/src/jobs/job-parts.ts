/** Parts of a job's page that share a place where there is little room. */
export type JobPart = "log" | "timeline" | "details";

/** The parts with their words, in order. */
export const jobParts: readonly { readonly name: JobPart; readonly label: string }[] = [
  { name: "log", label: "Log" },
  { name: "timeline", label: "Timeline" },
  { name: "details", label: "Details" },
];
