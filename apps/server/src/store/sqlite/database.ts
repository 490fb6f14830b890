import { closeSync, openSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";

/** The form of the files that this version reads and writes, kept in SQLite's user_version. */
const schemaVersion = 1;

/** How long a statement waits for a lock of another connection before it fails with SQLITE_BUSY. */
const busyTimeoutMs = 5_000;

// `topic` is where a topic ends: one small row, so that opening and listing topics touches no entry. A row whose `last` entry is
// not in the file is a *head*: it goes on standing for an entry that went away with an older file.
// `entry_by_topic` covers what a search by mark needs; the entries themselves lie in the order in which they came.
// In `record` a tombstone is a row whose data is NULL; `tables.floor` is the highest revision of a tombstone that was removed.
const schema = `
  CREATE TABLE IF NOT EXISTS meta (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS topic (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    last INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    sealed INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS entry (
    position INTEGER PRIMARY KEY,
    topic INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    sealed INTEGER NOT NULL,
    data BLOB NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX IF NOT EXISTS entry_by_topic ON entry (topic, position, mark);
  CREATE TABLE IF NOT EXISTS tables (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    floor INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE IF NOT EXISTS record (
    tables INTEGER NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,
    data BLOB,
    PRIMARY KEY (tables, key)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX IF NOT EXISTS record_by_revision ON record (tables, revision);
  PRAGMA user_version = ${schemaVersion};
`;

/** Opens a database for its only writer and makes what is missing in it. `pageBytes` counts for a new file only. */
export function openForWriting(path: string, pageBytes: number): DatabaseSync {
  // Log text is its owner's alone, in whatever folder; SQLite makes its other files like this one.
  closeSync(openSync(path, "a", 0o600));
  const db = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    db.exec(`PRAGMA page_size = ${pageBytes}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL`);
    // Checkpoints are the writer's own, after the acknowledgement. The cache holds one commit and the index pages of many topics.
    db.exec("PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -16384");
    const version = numberOf(db, "PRAGMA user_version", "user_version");
    if (version > schemaVersion) {
      throw new Error(`${path} has form ${version}, made by a newer Signalbox; this one knows ${schemaVersion}`);
    }
    if (version < schemaVersion) db.exec(`BEGIN IMMEDIATE; ${schema} COMMIT`);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Opens a database that a writer has open, for reading. */
export function openForReading(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { readOnly: true, timeout: busyTimeoutMs });
  db.exec("PRAGMA cache_size = -8192");
  return db;
}

/** Opens a database that a writer has open, to move its write-ahead log into it. */
export function openForMoving(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec("PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = 0");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Takes the exclusive lock of an empty database and holds it until the connection closes or the process is gone. */
export function holdLock(path: string): DatabaseSync {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    // In memory: on an empty database SQLite would write a journal first, for which a full disk has no room.
    db.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * The store's identity as this database knows it: what is stored, else `id`, which is then stored.
 */
export function storeIdOf(db: DatabaseSync, id: string): string {
  db.prepare("INSERT OR IGNORE INTO meta (key, value) VALUES ('store_id', ?)").run(id);
  const row = db.prepare("SELECT value FROM meta WHERE key = 'store_id'").get();
  return String(row?.["value"]);
}

/** A number that a statement without parameters yields in its only row; 0 for NULL. */
export function numberOf(db: DatabaseSync, sql: string, column: string): number {
  return Number(db.prepare(sql).get()?.[column] ?? 0);
}
