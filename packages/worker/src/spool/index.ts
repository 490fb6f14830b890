// What programs need that look after spools: the command `signalbox spool`.

export { readSpoolConfig, spoolFolder, parseBytes, type SpoolOptions, type WhenFull } from "./spool-config.ts";
export {
  damagedFiles,
  listSpools,
  readSpool,
  removeFromSpool,
  type LeftAttempt,
  type LeftSpool,
} from "./left-spools.ts";
export { deliverFolder, NoLink, type DeliverFolderOptions, type DeliveredAttempt } from "./deliver-folder.ts";
export { leftWords } from "./spool-delivery.ts";
export type { SpoolNote } from "./spool-note.ts";
export { writeText } from "./write-text.ts";
