import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, createRouterTransport, type Client } from "@connectrpc/connect";
import {
  AuditService,
  BulkService,
  JobService,
  LiveService,
  LogService,
  RunService,
  WorkerService,
} from "@signalbox/protocol";
import { pino } from "pino";
import { callerKey } from "../auth/caller.ts";
import { openDomain, type Domain, type DomainOptions } from "../domain.ts";
import { errorInterceptor } from "../rpc/errors.ts";
import { openSqliteStore } from "../store/sqlite/open-sqlite-store.ts";
import type { Store } from "../store/store.ts";

/** A domain over a real store in a temporary folder, and clients that speak to its services in memory, through real serialisation. */
export interface TestDomain extends AsyncDisposable {
  readonly folder: string;
  readonly store: Store;
  readonly domain: Domain;
  readonly jobs: Client<typeof JobService>;
  readonly bulks: Client<typeof BulkService>;
  readonly logs: Client<typeof LogService>;
  readonly live: Client<typeof LiveService>;
  readonly audit: Client<typeof AuditService>;
  readonly workers: Client<typeof WorkerService>;
  readonly run: Client<typeof RunService>;
  /** Closes domain and store, and opens them again on the same folder. */
  reopen(): Promise<TestDomain>;
}

/** Clocks that a test can put forward. */
type TestClocks = Pick<DomainOptions, "clock" | "monotonic">;

/** Opens a test domain; in `folder`, if it is given. Disposing removes the folder. `clocks` are the server's. */
export async function openTestDomain(folder?: string, clocks: TestClocks = {}): Promise<TestDomain> {
  const at = folder ?? (await mkdtemp(join(tmpdir(), "signalbox-domain-")));
  const store = await openSqliteStore({ folder: at });
  const logger = pino({ level: "silent" });
  const domain = await openDomain({ store, logger, serverVersion: "test", ...clocks });
  const transport = createRouterTransport(domain.workerRoutes, {
    router: {
      interceptors: [
        errorInterceptor(logger),
        (next) => (request) => {
          request.contextValues.set(callerKey, { kind: "operator", name: "operator", address: "127.0.0.1" });
          return next(request);
        },
        domain.auditCalls,
      ],
    },
  });
  const close = async () => {
    await domain.close();
    await store.close();
  };
  return {
    folder: at,
    store,
    domain,
    jobs: createClient(JobService, transport),
    bulks: createClient(BulkService, transport),
    logs: createClient(LogService, transport),
    live: createClient(LiveService, transport),
    audit: createClient(AuditService, transport),
    workers: createClient(WorkerService, transport),
    run: createClient(RunService, transport),
    async reopen() {
      await close();
      return openTestDomain(at, clocks);
    },
    async [Symbol.asyncDispose]() {
      await close();
      await rm(at, { recursive: true, force: true });
    },
  };
}
