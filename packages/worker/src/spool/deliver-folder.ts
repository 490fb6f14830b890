import { hostname } from "node:os";
import { readConnectConfig, type ConnectOptions } from "../config.ts";
import type { Connection } from "../connection.ts";
import { defineJob } from "../job.ts";
import { linkOf } from "../link-state.ts";
import { readRedaction } from "../redaction/redact-options.ts";
import { RunningWorker } from "../running-worker.ts";
import { deliverInItsName } from "./in-its-name.ts";
import type { LeftAttempt, LeftSpool } from "./left-spools.ts";
import { DEFAULT_SPOOL_BYTES } from "./spool-config.ts";
import { SpoolDelivery, type Delivered } from "./spool-delivery.ts";

/** What is to be delivered, and where. */
export interface DeliverFolderOptions extends ConnectOptions {
  readonly folder: string;
  /** Those of the folder that are wanted. */
  readonly spools: readonly LeftSpool[];
  /** Jobs that no server knows are asked for here, although their process had another address. Default: no. */
  readonly fromAnywhere?: boolean;
  readonly signal: AbortSignal;
  readonly onNotice: (message: string) => void;
  /** Lines of an attempt were delivered, up to `ackedLine`. */
  readonly onProgress?: (left: LeftAttempt, ackedLine: number) => void;
}

/** What became of what was left of an attempt. */
export interface DeliveredAttempt {
  readonly left: LeftAttempt;
  readonly delivered: Delivered;
  /** Why it was refused. */
  readonly reason: string;
}

/** No server was found. */
export class NoLink extends Error {
  override readonly name = "NoLink";
}

/**
 * Delivers what processes that are gone have left, over a link of its own. Attempts of other stores are left alone. Resolves with what
 * became of the rest; rejects with NoLink if there is no server, or the link is lost.
 */
export async function deliverFolder(options: DeliverFolderOptions): Promise<DeliveredAttempt[]> {
  const { folder, spools, fromAnywhere = false, signal, onNotice, onProgress } = options;
  const host = hostname().replace(/[^A-Za-z0-9._-]/g, "-");
  const config = readConnectConfig({ ...options, workerId: `spool:${host.slice(0, 60)}:${process.pid}` });
  const redaction = readRedaction({ off: true, defaultPatterns: false });
  const done: DeliveredAttempt[] = [];
  const { promise: over, resolve, reject } = Promise.withResolvers<void>();
  const deliver = async (connection: Connection, storeId: string) => {
    const { client, wire } = connection;
    const spool = { folder, bytes: DEFAULT_SPOOL_BYTES, whenFull: "wait" as const };
    const delivery = new SpoolDelivery({
      folder,
      storeId,
      urls: fromAnywhere ? undefined : config.urls,
      client,
      wire,
      signal: AbortSignal.any([signal, connection.signal]),
      notice: onNotice,
      inItsName: (work) => deliverInItsName(work, { config, redaction, spool, notice: onNotice }),
      ...(onProgress ? { progress: onProgress } : {}),
      result: (left, delivered, reason) => void done.push({ left, delivered, reason }),
    });
    for (const each of spools) if (!signal.aborted) await delivery.deliver(each);
  };
  const worker = new RunningWorker(
    {
      jobs: [defineJob({ type: "spool", pinned: true, run: () => undefined })],
      slots: 1,
      transient: true,
      spool: false,
      onNotice,
      onLink: () => undefined,
      onState: (state) => {
        const link = linkOf(state);
        if (link?.kind === "backing-off") reject(new NoLink(link.reason));
      },
    },
    config,
    redaction,
    { onWelcome: (connection, storeId) => void deliver(connection, storeId).then(resolve, reject) },
  );
  const stop = () => resolve();
  signal.addEventListener("abort", stop, { once: true });
  worker.begin();
  try {
    await over;
    return done;
  } finally {
    signal.removeEventListener("abort", stop);
    await worker.stop();
  }
}
