import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { LogService, type ReadLogsRequest } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { LogFeed } from "./log-feed.ts";
import { numbered } from "./samples.ts";

/** A log of 100,000 lines in chunks of 100. `fail` refuses the next reads. */
function server() {
  const reads: ReadLogsRequest[] = [];
  const state = {
    reads,
    fail: undefined as ConnectError | undefined,
    hold: undefined as Promise<void> | undefined,
    aborted: 0,
  };
  const transport = createRouterTransport(({ service }) => {
    service(LogService, {
      readLogs: async (request, context) => {
        reads.push(request);
        context.signal.addEventListener("abort", () => state.aborted++, { once: true });
        await state.hold;
        if (state.fail) throw state.fail;
        const from = Number(request.fromLine);
        const entries = [];
        for (let at = from - ((from - 1) % 100); at < from + Number(request.lineCount); at += 100)
          entries.push(numbered(at, at + 100));
        return { entries, endLine: 100_001n, nextLine: entries.at(-1)?.nextLine ?? 1n };
      },
    });
  });
  return Object.assign(state, { client: createClient(LogService, transport) });
}

describe("lines on demand", () => {
  let net: ReturnType<typeof server>;
  let feed: LogFeed;
  beforeEach(() => {
    vi.useFakeTimers();
    net = server();
    feed = new LogFeed(net.client, "j", 1, () => {});
    feed.store.learnEnd(100_001, []);
  });
  afterEach(() => {
    feed.close();
    vi.useRealTimers();
  });
  const here = (line: number) => feed.store.line(line) !== undefined;
  const until = (condition: () => boolean) => vi.waitUntil(condition, { timeout: 60_000 });

  test("what is looked at is read once, with a margin, and nothing else", async () => {
    feed.want(50_000, 50_040);
    await until(() => here(50_039));
    expect([here(49_700), here(50_339), here(49_000)]).toEqual([true, true, false]);
    feed.want(50_100, 50_140);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(net.reads).toHaveLength(1);
  });

  test("what lies just outside of the view is read before it is looked at", async () => {
    feed.want(50_000, 50_040);
    await until(() => here(50_339));
    feed.want(50_295, 50_335);
    await until(() => here(50_384));
  });

  test("places that are passed are not read", async () => {
    for (let line = 1_000; line <= 90_000; line += 1_000) feed.want(line, line + 40);
    await until(() => here(90_000));
    expect(net.reads.map((read) => Number(read.fromLine))).toEqual([89_700]);
  });

  test("what is looked at is read though the log goes on at its end with every frame", async () => {
    for (let frame = 0; frame < 20; frame++) {
      feed.want(50_000, 50_040);
      await vi.advanceTimersByTimeAsync(16);
    }
    expect(net.reads).toHaveLength(1);
    await until(() => here(50_000));
  });

  test("a read that is no longer wanted is given up", async () => {
    let release = () => {};
    net.hold = new Promise((resolve) => (release = resolve));
    feed.want(10_000, 10_040);
    await until(() => net.reads.length === 1);
    feed.want(80_000, 80_040);
    await until(() => net.reads.length === 2);
    release();
    await until(() => here(80_000));
    expect(here(10_000)).toBe(false);
  });

  test("a failed read says why and is tried again", async () => {
    net.fail = new ConnectError("the disk is slow", Code.DeadlineExceeded);
    feed.want(10_000, 10_040);
    await until(() => feed.fault !== undefined);
    expect(feed.fault).toBe("the disk is slow");
    net.fail = undefined;
    await until(() => here(10_000));
    expect(feed.fault).toBeUndefined();
  });

  test("the subscription brings the end and counts; lines a second are those of the last seconds", () => {
    const deliver = (from: number, to: number) =>
      feed.apply({
        case: "log",
        value: {
          $typeName: "signalbox.v1.LogDelivery",
          attempt: 1,
          entries: [numbered(from, to)],
          endLine: BigInt(to),
          levelCounts: [BigInt(to - 1), 0n, 0n, 0n, 0n, 0n, 0n],
        },
      });
    feed.apply({ case: "reset", value: { $typeName: "signalbox.v1.Reset", reason: "" } });
    expect(feed.store.endLine).toBe(1);
    for (let second = 0; second < 4; second++) {
      deliver(1 + second * 100, 101 + second * 100);
      vi.advanceTimersByTime(1_000);
    }
    expect(feed.store.endLine).toBe(401);
    expect(feed.store.levelCounts[0]).toBe(400);
    expect(feed.linesPerSecond(Date.now())).toBeGreaterThan(50);
    expect(feed.linesPerSecond(Date.now() + 60_000)).toBe(0);
  });
});
