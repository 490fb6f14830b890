import { errcodeOf } from "./thread-calls.ts";

// https://www.sqlite.org/rescode.html
const SQLITE_BUSY = 5;
const SQLITE_READONLY = 8;
const SQLITE_IOERR = 10;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_CANTOPEN = 14;
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

/** There is no space left, so that space which is given up may help. */
export function isFull(error: unknown): boolean {
  const errcode = errcodeOf(error);
  return errcode !== undefined && (errcode & 0xff) === SQLITE_FULL;
}

/**
 * The disk took nothing, and may take it later: no space is left, a limit or quota is reached, it became read-only, a file cannot be
 * opened or a write failed. The transaction was undone.
 */
export function isNoRoom(error: unknown): boolean {
  const errcode = errcodeOf(error);
  if (errcode === undefined || isFatal(error)) return false;
  return [SQLITE_FULL, SQLITE_IOERR, SQLITE_READONLY, SQLITE_CANTOPEN].includes(errcode & 0xff);
}
