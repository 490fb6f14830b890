import { listSpools, readSpool } from "../../packages/worker/src/spool/left-spools.ts";

/**
 * How far the spools in a folder go with the lines of a job's first attempt: the number after the last one that a killed process has left
 * there whole, 0 if it left none.
 */
export async function spooledNext(folder: string, jobId: string): Promise<number> {
  let next = 0;
  for (const { path } of await listSpools(folder))
    for (const left of await readSpool(path))
      if (left.note?.jobId === jobId && left.note.attempt === 1) next = Math.max(next, left.nextLine);
  return next;
}
