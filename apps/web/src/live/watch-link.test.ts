import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { LiveService, type WatchRequest, type WatchResponse } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { backOffMs } from "./back-off.ts";
import { WatchLink, type Watched } from "./watch-link.ts";

type Step = Partial<Pick<WatchResponse, "subscriptionId" | "cursor" | "message">>;

/** A server whose streams are driven by the test. `streams` holds one for each Watch call, oldest first. */
function server() {
  const streams: { request: WatchRequest; signal: AbortSignal; send(step: Step): void; fail(error: Error): void }[] =
    [];
  const transport = createRouterTransport(({ service }) => {
    service(LiveService, {
      async *watch(request, context) {
        const queue: (Step | Error)[] = [];
        let wake = () => {};
        streams.push({
          request,
          signal: context.signal,
          send: (step) => (queue.push(step), wake()),
          fail: (error) => (queue.push(error), wake()),
        });
        context.signal.addEventListener("abort", () => wake(), { once: true });
        while (!context.signal.aborted) {
          const next = queue.shift();
          if (next instanceof Error) throw next;
          if (next) yield next;
          else await new Promise<void>((resolve) => (wake = resolve));
        }
      },
    });
  });
  return { streams, client: createClient(LiveService, transport) };
}

function watched(id: string) {
  const seen: string[] = [];
  const item: Watched & { seen: string[] } = {
    id,
    seen,
    kind: () => ({
      case: "jobs",
      value: { $typeName: "signalbox.v1.JobsSubscription", withJobTypes: false, withTrends: false },
    }),
    apply: (message) => seen.push(message.case ?? "nothing"),
  };
  return item;
}

const hello = (storeId = "s1"): Step => ({
  message: {
    case: "hello",
    value: { $typeName: "signalbox.v1.WatchHello", storeId, serverVersion: "0", serverTimeUs: 0n },
  },
});
const heartbeat: Step = {
  message: { case: "heartbeat", value: { $typeName: "signalbox.v1.WatchHeartbeat", serverTimeUs: 0n } },
};
const caughtUp = (subscriptionId: string, cursor: number): Step => ({
  subscriptionId,
  cursor: new Uint8Array([cursor]),
  message: { case: "caughtUp", value: { $typeName: "signalbox.v1.CaughtUp" } },
});

describe("the one stream of a tab", () => {
  let link: WatchLink;
  let net: ReturnType<typeof server>;
  beforeEach(() => {
    vi.useFakeTimers();
    net = server();
    link = new WatchLink(net.client, () => 1);
  });
  afterEach(() => {
    link.close();
    vi.useRealTimers();
  });
  const stream = (index: number) => vi.waitUntil(() => net.streams[index]);

  test("follows several things on one stream and hands each its messages", async () => {
    const [jobs, log] = [watched("jobs"), watched("log")];
    link.follow(jobs);
    link.follow(log);
    const first = await stream(0);
    expect(first.request.subscriptions.map((s) => s.id)).toEqual(["jobs", "log"]);
    first.send(hello());
    first.send(caughtUp("log", 1));
    await vi.waitUntil(() => log.seen.length > 0);
    expect(link.status).toEqual({ state: "live" });
    expect(jobs.seen).toEqual([]);
    expect(net.streams).toHaveLength(1);
  });

  test("a changed list aborts the old stream and goes on from the cursors that were reached", async () => {
    const jobs = watched("jobs");
    link.follow(jobs);
    const first = await stream(0);
    first.send(hello());
    first.send(caughtUp("jobs", 7));
    await vi.waitUntil(() => jobs.seen.length > 0);
    link.follow(watched("log"));
    const second = await stream(1);
    await vi.waitUntil(() => first.signal.aborted);
    expect(second.request.subscriptions.map((s) => [s.id, [...s.cursor]])).toEqual([
      ["jobs", [7]],
      ["log", []],
    ]);
    expect(link.status.state).toBe("live");
  });

  test("a message that the page fails to apply does not advance the cursor", async () => {
    const jobs = watched("jobs");
    const broken = {
      ...jobs,
      apply: () => {
        throw new Error("bad record");
      },
    };
    link.follow(broken);
    const first = await stream(0);
    first.send(hello());
    first.send(caughtUp("jobs", 7));
    await vi.waitUntil(() => link.status.state === "away");
    link.tryNow();
    const second = await stream(1);
    expect([...(second.request.subscriptions[0]?.cursor ?? [])]).toEqual([]);
  });

  test("ten seconds of silence are 'away'; a heartbeat before that is not", async () => {
    link.follow(watched("jobs"));
    const first = await stream(0);
    first.send(hello());
    await vi.waitUntil(() => link.status.state === "live");
    const heardMs = link.heardMs;
    await vi.advanceTimersByTimeAsync(9_000);
    first.send(heartbeat);
    await vi.waitUntil(() => link.heardMs > heardMs);
    await vi.advanceTimersByTimeAsync(9_000);
    expect(link.status.state).toBe("live");
    const lastWord = link.heardMs;
    await vi.advanceTimersByTimeAsync(1_500);
    expect(link.status).toMatchObject({ state: "away", sinceMs: lastWord, reason: "no word for 10 s" });
    await vi.waitUntil(() => first.signal.aborted);
    await vi.advanceTimersByTimeAsync(600);
    expect(net.streams).toHaveLength(2);
  });

  test("a failed stream is tried again with growing waits, and comes back live", async () => {
    const waits: number[] = [];
    link.onChange(() => {
      if (link.status.state === "away" && link.status.nextTryMs) waits.push(link.status.nextTryMs - Date.now());
    });
    link.follow(watched("jobs"));
    for (const index of [0, 1, 2]) {
      (await stream(index)).fail(new ConnectError("the server drains", Code.Unavailable));
      await vi.waitUntil(() => waits.length > index);
      expect(link.status).toMatchObject({ reason: "the server drains" });
      await vi.advanceTimersByTimeAsync(waits[index] ?? 0);
    }
    expect(waits).toEqual([500, 1000, 2000]);
    (await stream(3)).send(hello());
    await vi.waitUntil(() => link.status.state === "live");
  });

  test("messages of an old stream change nothing", async () => {
    const jobs = watched("jobs");
    link.follow(jobs);
    const first = await stream(0);
    first.send(hello());
    await vi.waitUntil(() => link.status.state === "live");
    link.follow(watched("log"));
    first.send(caughtUp("jobs", 9));
    const second = await stream(1);
    second.send(hello());
    second.send(caughtUp("jobs", 3));
    await vi.waitUntil(() => jobs.seen.length > 0);
    expect(jobs.seen).toEqual(["caughtUp"]);
  });

  test("reset forgets the cursor; an error ends only its own subscription", async () => {
    const [jobs, log] = [watched("jobs"), watched("log")];
    link.follow(jobs);
    link.follow(log);
    const first = await stream(0);
    first.send(hello());
    first.send(caughtUp("jobs", 7));
    first.send({
      subscriptionId: "jobs",
      message: { case: "reset", value: { $typeName: "signalbox.v1.Reset", reason: "compacted" } },
    });
    first.send({
      subscriptionId: "log",
      message: {
        case: "error",
        value: { $typeName: "signalbox.v1.SubscriptionError", code: Code.NotFound, message: "no such job" },
      },
    });
    await vi.waitUntil(() => log.seen.length > 0);
    first.fail(new ConnectError("gone", Code.Unavailable));
    await vi.waitUntil(() => link.status.state === "away");
    link.tryNow();
    const second = await stream(1);
    expect(second.request.subscriptions.map((s) => [s.id, [...s.cursor]])).toEqual([["jobs", []]]);
    expect(jobs.seen).toEqual(["caughtUp", "reset"]);
  });

  test("another store makes all cursors worthless", async () => {
    const jobs = watched("jobs");
    link.follow(jobs);
    const first = await stream(0);
    first.send(hello("s1"));
    first.send(caughtUp("jobs", 7));
    await vi.waitUntil(() => jobs.seen.length > 0);
    first.fail(new ConnectError("restart", Code.Unavailable));
    await vi.waitUntil(() => link.status.state === "away");
    link.tryNow();
    (await stream(1)).send(hello("s2"));
    const third = await stream(2);
    expect(third.request.subscriptions.map((s) => [...s.cursor])).toEqual([[]]);
    expect(jobs.seen).toEqual(["caughtUp", "reset"]);
  });

  test("an invalid session is not tried again", async () => {
    link.follow(watched("jobs"));
    (await stream(0)).fail(new ConnectError("no cookie", Code.Unauthenticated));
    await vi.waitUntil(() => link.status.state === "shut-out");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(net.streams).toHaveLength(1);
  });
});

test("back-off doubles to 15 s and at most half of it is left to chance", () => {
  expect([1, 2, 3, 6, 20].map((failures) => [backOffMs(failures, 0), backOffMs(failures, 1)])).toEqual([
    [250, 500],
    [500, 1000],
    [1000, 2000],
    [7500, 15_000],
    [7500, 15_000],
  ]);
});
