import type { Config } from "./config.ts";
import type { Logger } from "./logger.ts";
import { openSqliteStore } from "./store/sqlite/open-sqlite-store.ts";
import type { Store } from "./store/store.ts";

/** Space that is kept on the disk for commands, should it be full: some thousands of them. */
const reserveBytes = 16 * 1024 * 1024;

/** Opens the store of a server. Rejects with StoreLocked if another process has the data folder. */
export function openStore({ dataFolder }: Config, logger: Logger): Promise<Store> {
  return openSqliteStore({ folder: dataFolder, reserveBytes, logger });
}
