import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient, createRouterTransport } from "@connectrpc/connect";
import { WorkerService } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { ConnectConfig } from "../config.ts";
import { readRedaction } from "../redaction/redact-options.ts";
import { Wire } from "../wire.ts";
import { deliverSpools } from "./deliver-spools.ts";
import { SpoolDelivery } from "./spool-delivery.ts";

const client = createClient(
  WorkerService,
  createRouterTransport(() => undefined),
);
const minuteMs = 60_000;
let folder: string;
/** Looks that are under way; a test ends them. */
const looks: (() => void)[] = [];
let begun = 0;
const open: AbortController[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "spools-"));
  begun = 0;
  vi.useFakeTimers();
  vi.spyOn(SpoolDelivery.prototype, "run").mockImplementation(() => {
    begun++;
    return new Promise((resolve) => looks.push(resolve));
  });
});
afterEach(async () => {
  for (const link of open.splice(0)) link.abort();
  await endLooks();
  vi.useRealTimers();
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

async function endLooks(): Promise<void> {
  for (const end of looks.splice(0)) end();
  await vi.advanceTimersByTimeAsync(0);
}

/** A worker of this process gets a link; aborting breaks it. */
function link(name: string, storeId = "store"): AbortController {
  const config: ConnectConfig = {
    urls: ["http://127.0.0.1:9"],
    findUrls: () => ["http://127.0.0.1:9"],
    workerId: name,
    metadata: {},
    tokenFrom: "its options",
    readToken: () => Promise.resolve("token"),
  };
  const spool = { folder, bytes: 1024 * 1024, whenFull: "wait" as const };
  const controller = new AbortController();
  open.push(controller);
  const onLink = deliverSpools(spool, config, { redaction: readRedaction({}, {}), notice: () => undefined });
  onLink({ client, wire: new Wire(), signal: controller.signal }, storeId);
  return controller;
}

const links = (count: number) => Array.from({ length: count }, (_, i) => link(`w${i}`));

test("of many workers in a process one looks for what others left, at once and then every minute", async () => {
  links(300);
  expect(begun).toBe(1);
  await endLooks();
  // Who comes later has nothing to look for.
  link("late");
  expect(begun).toBe(1);
  for (let minute = 1; minute <= 3; minute++) {
    await vi.advanceTimersByTimeAsync(minuteMs);
    await endLooks();
    expect(begun).toBe(1 + minute);
  }
});

test("a look that takes long is one, however many minutes pass", async () => {
  links(10);
  await vi.advanceTimersByTimeAsync(5 * minuteMs);
  expect(begun).toBe(1);
  await endLooks();
  await vi.advanceTimersByTimeAsync(minuteMs);
  expect(begun).toBe(2);
});

test("where the link of the one that looks breaks, the next one looks", async () => {
  const [first, second] = links(3);
  first?.abort();
  await endLooks();
  link("next");
  expect(begun).toBe(2);
  await endLooks();
  // It is not the others' turn for that.
  second?.abort();
  link("after");
  expect(begun).toBe(2);
});

test("when all links were broken, the first one that is back looks at once", async () => {
  const all = links(5);
  await endLooks();
  for (const each of all) each.abort();
  links(5);
  expect(begun).toBe(2);
});

test("each store is looked for by itself", () => {
  links(5);
  link("other", "another store");
  expect(begun).toBe(2);
});
