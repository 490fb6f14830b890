import { errcodeOf } from "./thread-calls.ts";

// https://www.sqlite.org/rescode.html
const SQLITE_BUSY = 5;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;
const SQLITE_IOERR_FSYNC = 1034;
const SQLITE_IOERR_DIR_FSYNC = 1290;

/** Another connection holds the lock. */
export function isBusy(errcode: number | undefined): boolean {
  return errcode !== undefined && (errcode & 0xff) === SQLITE_BUSY;
}

/**
 * After these errors nobody knows what is on the disk: the kernel reports a failed write-back once and then forgets it, so an fsync
 * that is tried again succeeds without the bytes. A full disk and a failed write are not among them: the transaction was undone.
 */
export function isFatal(error: unknown): boolean {
  const errcode = errcodeOf(error);
  if (errcode === undefined) return false;
  if (errcode === SQLITE_IOERR_FSYNC || errcode === SQLITE_IOERR_DIR_FSYNC) return true;
  const primary = errcode & 0xff;
  return primary === SQLITE_CORRUPT || primary === SQLITE_NOTADB;
}
