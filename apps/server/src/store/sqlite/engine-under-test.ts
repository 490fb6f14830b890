/** The engine as the conformance suite opens it, in the test's own process and in others. */
import { openSqliteStore } from "./open-sqlite-store.ts";
import type { Store } from "../store.ts";

/** Opens the store in a folder. */
export function open(folder: string): Promise<Store> {
  return openSqliteStore({ folder });
}
