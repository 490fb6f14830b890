import type { ConnectConfig } from "../config.ts";
import type { Connection } from "../connection.ts";
import type { Redaction } from "../redaction/redact-options.ts";
import { deliverInItsName } from "./in-its-name.ts";
import type { SpoolConfig } from "./spool-config.ts";
import { SpoolDelivery } from "./spool-delivery.ts";

/** Others may have gone meanwhile: the folder is looked at again, milliseconds. */
const lookEveryMs = 60_000;

/**
 * Makes what a worker does in the background with each link that it has: it delivers what processes that are gone have left in its
 * folder, now and again every minute.
 */
export function deliverSpools(
  spool: SpoolConfig,
  config: ConnectConfig,
  { redaction, notice }: { redaction: Redaction; notice: (message: string) => void },
): (connection: Connection, storeId: string) => void {
  return ({ client, wire, signal }, storeId) => {
    const delivery = new SpoolDelivery({
      folder: spool.folder,
      storeId,
      urls: config.urls,
      client,
      wire,
      signal,
      notice,
      inItsName: (work) => deliverInItsName(work, { config, redaction, spool, notice }),
    });
    let isAtWork = false;
    const look = () => {
      if (isAtWork) return;
      isAtWork = true;
      void delivery.run().finally(() => (isAtWork = false));
    };
    look();
    const timer = setInterval(look, lookEveryMs);
    timer.unref();
    signal.addEventListener("abort", () => clearInterval(timer), { once: true });
  };
}
