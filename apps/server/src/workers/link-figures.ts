import type { WorkerHeartbeat, WorkerLink } from "@signalbox/protocol";
import { clip } from "../clip.ts";

/** What a worker says of its own link, bounded: it may say anything. */
export type LinkFigures = Pick<
  WorkerLink,
  "bufferedBytes" | "spoolBytes" | "spoolLimitBytes" | "reconnects" | "lastBreak" | "address"
>;

const longestWords = 200;

/** Before a worker has said anything. */
export const noFigures: LinkFigures = {
  bufferedBytes: 0n,
  spoolBytes: 0n,
  spoolLimitBytes: 0n,
  reconnects: 0,
  lastBreak: "",
  address: "",
};

/** The figures of a heartbeat. */
export function figuresOf(heartbeat: WorkerHeartbeat): LinkFigures {
  const { bufferedBytes, spoolBytes, spoolLimitBytes, reconnects, lastBreak, address } = heartbeat;
  return {
    ...{ bufferedBytes, spoolBytes, spoolLimitBytes, reconnects },
    lastBreak: oneLine(lastBreak),
    address: oneLine(address),
  };
}

/** The figures of a link as they were told; those of none if there is none. */
export function figuresOfLink(link: WorkerLink | undefined): LinkFigures {
  if (!link) return noFigures;
  const { bufferedBytes, spoolBytes, spoolLimitBytes, reconnects, lastBreak, address } = link;
  return { bufferedBytes, spoolBytes, spoolLimitBytes, reconnects, lastBreak, address };
}

/** Whether they say the same. */
export function sameFigures(a: LinkFigures, b: LinkFigures): boolean {
  return (Object.keys(noFigures) as (keyof LinkFigures)[]).every((key) => a[key] === b[key]);
}

/** Words for one line of a table. */
function oneLine(text: string): string {
  return clip(text, longestWords).replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, " ");
}
