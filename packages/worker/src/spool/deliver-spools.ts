import type { ConnectConfig } from "../config.ts";
import type { Connection } from "../connection.ts";
import type { Redaction } from "../redaction/redact-options.ts";
import { deliverInItsName } from "./in-its-name.ts";
import type { SpoolConfig } from "./spool-config.ts";
import { SpoolDelivery } from "./spool-delivery.ts";

/** Others may have gone meanwhile: the folder is looked at again, milliseconds. */
const lookEveryMs = 60_000;

/** The links of this process to one server. */
interface Links {
  open: number;
  isLooking: boolean;
  /** When the last look was over, milliseconds that only rise. */
  lookedAt: number;
}

/** By folder and store: of hundreds of workers in a process one looks for all of them. */
const linksOfProcess = new Map<string, Links>();

/**
 * Makes what a worker does in the background with each link that it has: it delivers what processes that are gone have left in its
 * folder, at the process's first link and again every minute.
 */
export function deliverSpools(
  spool: SpoolConfig,
  config: ConnectConfig,
  { redaction, notice }: { redaction: Redaction; notice: (message: string) => void },
): (connection: Pick<Connection, "client" | "wire" | "signal">, storeId: string) => void {
  return ({ client, wire, signal }, storeId) => {
    const urls = config.findUrls();
    const key = JSON.stringify([spool.folder, storeId, urls]);
    const links = linksOfProcess.get(key) ?? { open: 0, isLooking: false, lookedAt: -Infinity };
    linksOfProcess.set(key, links);
    const delivery = new SpoolDelivery({
      folder: spool.folder,
      storeId,
      urls,
      client,
      wire,
      signal,
      notice,
      inItsName: (work) => deliverInItsName(work, { config, redaction, spool, notice }),
    });
    const look = () => {
      // A little less than its time is enough: timers are not exact.
      if (links.isLooking || performance.now() - links.lookedAt < lookEveryMs * 0.9) return;
      links.isLooking = true;
      void delivery.run().finally(() => {
        links.isLooking = false;
        // What a link that broke has left lying is the next one's.
        links.lookedAt = signal.aborted ? -Infinity : performance.now();
      });
    };
    if (links.open++ === 0) links.lookedAt = -Infinity;
    look();
    const timer = setInterval(look, lookEveryMs);
    timer.unref();
    signal.addEventListener(
      "abort",
      () => {
        clearInterval(timer);
        if (--links.open === 0 && !links.isLooking) linksOfProcess.delete(key);
      },
      { once: true },
    );
  };
}
