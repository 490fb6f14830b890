import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { EndOutcome, GapCause, LeverOutcome, RunMode } from "@signalbox/protocol";
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { JobCanceled, JobFenced, startWorker, type Worker, type WorkerState } from "./index.ts";
import { BEHIND_MS } from "./pacer.ts";
import { gate, job, leverOf, roomForTests, untilAborted } from "./room-for-tests.ts";
import type { ServerForTests, StoredAttempt } from "./server-for-tests.ts";

const room = roomForTests();
const { start, ended } = room;
let server: ServerForTests;
let workers: Worker[];
let notices: string[];

beforeEach(() => {
  ({ server, workers, notices } = room);
});

const runLever = (attempt: StoredAttempt) => leverOf(attempt, "run");

const numbered = (count: number) => Array.from({ length: count }, (_, i) => i);

describe("a worker", () => {
  test("runs a job and delivers its lines, then its end", async () => {
    await start([
      job(({ log, parameters }) => {
        log.info(`hello ${JSON.stringify(parameters.name)}`, { n: 1 });
        log.warn("two\nlines");
      }),
    ]);
    const attempt = server.assign("a", "test", { parameters: { name: "world" } });
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.text).toBe('hello "world"\ntwo\nlines\n');
    expect(attempt.report?.end?.endLine).toBe(4n);
    expect(attempt.report?.started).toBe(true);
    expect(
      attempt.reports.flatMap(({ levers }) => levers).every(({ outcome }) => outcome === LeverOutcome.APPLIED),
    ).toBe(true);
  });

  test("pauses between two items and goes on with the very next one", async () => {
    const seen: number[] = [];
    await start([
      job(async ({ log, paced }) => {
        for await (const item of paced(Array.from({ length: 40 }, (_, i) => i))) {
          seen.push(item);
          log.info(`item ${item}`);
        }
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 100 } }] });
    await server.until(() => seen.length >= 10, "ten items are done");
    const generation = server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
    await server.until(() => runLever(attempt)?.generation === generation, "the pause is applied");
    const stood = seen.length;
    expect(Number(runLever(attempt)?.atLine)).toBe(stood + 1);
    await delay(300);
    expect(seen.length).toBe(stood);
    server.set(attempt, { case: "run", value: { mode: RunMode.RUN } });
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => i));
    expect(attempt.vitals.at(-1)).toMatchObject({ itemsDone: 40n, itemsTotal: 40n });
  });
});

describe("the link of a worker", () => {
  test("introduces the process and its job types", async () => {
    const worker = await start([job(() => {}, { description: "d", itemNoun: "things", defaultItemsPerSecond: 5 })], {
      labels: { zone: "a" },
      metadata: { node: "n1" },
      slots: 3,
    });
    expect(server.hellos[0]).toMatchObject({
      workerId: "worker",
      incarnation: worker.incarnation,
      slots: 3,
      labels: { zone: "a" },
      metadata: { node: "n1" },
      jobTypes: [
        {
          name: "test",
          description: "d",
          levers: ["run", "speed", "log_level"],
          itemNoun: "things",
          defaultItemsPerSecond: 5,
        },
      ],
    });
  });

  test("answers the server's heartbeats at once and sends its own", async () => {
    server.behaviour.heartbeatMs = 100;
    await start([job(() => {})]);
    await server.until(() => server.heartbeats.filter(({ echoUs }) => echoUs > 0n).length >= 3, "three echoes");
    for (const { echoUs, atMs } of server.heartbeats)
      if (echoUs > 0n) expect(atMs - Number(echoUs) / 1000).toBeLessThan(80);
    await server.until(() => server.heartbeats.some(({ echoUs }) => echoUs === 0n), "a heartbeat of its own");
  });

  test("is made anew at once when it breaks, and the job goes on meanwhile", async () => {
    const states: WorkerState["kind"][] = [];
    const finish = gate();
    await start(
      [
        job(async ({ log }) => {
          log.info("before");
          await finish.opened;
          log.info("after");
        }),
      ],
      { onState: ({ kind }) => states.push(kind) },
    );
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.text === "before\n", "the first line is there");
    server.drop();
    finish.open();
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.text).toBe("before\nafter\n");
    expect(states).toEqual(expect.arrayContaining(["open", "backing-off", "connecting", "open"]));
    expect(server.hellos[1]?.attempts[0]).toMatchObject({ jobId: "a", attempt: 1, started: true });
  });

  test("is given up when the server says nothing for too long, and made anew", async () => {
    server.behaviour.beats = false;
    await start([job(() => {})], { silenceMs: 300 });
    await server.until(() => server.hellos.length >= 2, "it connects again");
    expect(notices.join()).toContain("no word from the server for 0.3 s");
  });

  test("says why it is refused, and takes the right token as soon as there is one", async () => {
    const token = server.token;
    server.token = "another";
    const worker = await startWorker({
      jobs: [job(() => {})],
      url: server.url,
      token,
      onNotice: (message) => notices.push(message),
    });
    workers.push(worker);
    await server.until(() => worker.state.kind === "backing-off", "it backs off");
    expect(worker.state).toMatchObject({
      reason: expect.stringContaining("does not accept the token from its options") as string,
    });
    server.token = token;
    await server.until(() => worker.state.kind === "open", "it connects");
  });

  test("to a port that speaks HTTP/1.1 fails again and again, says which port is meant, and never ends the process", async () => {
    const browsers = createServer((_request, response) => response.end()).listen(0, "127.0.0.1");
    await once(browsers, "listening");
    let tries = 0;
    const worker = await startWorker({
      jobs: [job(() => {})],
      url: `http://127.0.0.1:${(browsers.address() as AddressInfo).port}`,
      token: "any",
      longestBackOffMs: 10,
      onState: ({ kind }) => (tries += kind === "backing-off" ? 1 : 0),
      onNotice: (message) => notices.push(message),
    });
    workers.push(worker);
    await server.until(() => tries > 3, "it has tried again");
    expect(notices.join()).toContain("workers connect to another port than browsers");
    browsers.close();
  });

  test("of several addresses that are no good says which one it speaks of", async () => {
    const browsers = createServer((_request, response) => response.end()).listen(0, "127.0.0.1");
    await once(browsers, "listening");
    const { port } = browsers.address() as AddressInfo;
    const worker = await startWorker({
      jobs: [job(() => {})],
      url: ["http://127.0.0.1:1", `http://127.0.0.1:${port}`],
      token: "any",
      onNotice: (message) => notices.push(message),
    });
    workers.push(worker);
    await server.until(() => notices.length > 0, "it says why there is no link");
    expect(notices[0]).toContain(`: 127.0.0.1:${port}: it does not speak gRPC`);
    browsers.close();
  });

  test("is left to another process that takes the worker's name, and the jobs stop", async () => {
    const stopped = gate();
    const first = await start([
      job(async ({ signal }) => {
        await untilAborted(signal).finally(stopped.open);
      }),
    ]);
    server.assign("a", "test");
    await server.until(() => first.running === 1, "it runs");
    const second = await start([job(() => {})]);
    await first.closed;
    await stopped.opened;
    expect(first.state).toMatchObject({
      kind: "closed",
      reason: expect.stringContaining("took the name over") as string,
    });
    expect(second.state.kind).toBe("open");
    await first.stop();
  });

  test("comes up when the server comes up later", async () => {
    await server.stop();
    const worker = await startWorker({
      jobs: [job(() => {})],
      url: server.url,
      token: server.token,
      onNotice: () => {},
    });
    workers.push(worker);
    await server.until(() => worker.state.kind === "backing-off", "it backs off");
    await server.start();
    await server.until(() => worker.state.kind === "open", "it connects");
  });
});

describe("lines", () => {
  test("that the server has and this process never made end the attempt as failed, and the server hears it", async () => {
    const stopped = gate();
    await start([
      job(async ({ signal, log }) => {
        log.info("one");
        await untilAborted(signal).finally(stopped.open);
      }),
    ]);
    const attempt = server.assign("a", "test");
    attempt.nextLine = 100;
    expect(await ended(attempt)).toBe(EndOutcome.FAILED);
    await stopped.opened;
    // It cannot know where the server's log ends.
    expect(server.violations.splice(0)).toEqual(["end_line 1, stored 100"]);
  });

  test("are all there once and in order after the server was killed again and again", async () => {
    const count = 30_000;
    await start([
      job(async ({ log, paced }) => {
        for await (const i of paced(numbered(count))) log.info(`line ${i} ${"x".repeat(i % 200)}`);
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 15_000 } }] });
    for (let kills = 0; kills < 6; kills++) {
      const stored = attempt.nextLine;
      await server.until(() => attempt.nextLine > stored + 2000 || attempt.endAccepted, "more lines are there");
      // Half of the kills lose what was received and not stored.
      server.behaviour.autoCommit = kills % 2 === 0;
      await delay(20);
      await server.restart();
      server.behaviour.autoCommit = true;
    }
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.lines).toEqual(numbered(count).map((i) => `line ${i} ${"x".repeat(i % 200)}`));
    expect(attempt.vitals.at(-1)).toMatchObject({ itemsDone: BigInt(count) });
    expect(notices.join()).not.toContain("given up");
  });

  test("arrive once each whatever the server stores, acknowledges and drops", async () => {
    await start([
      job(async ({ log, checkpoint, parameters }) => {
        for (const i of numbered(Number(parameters.lines))) {
          log.write(
            `${i}${"y".repeat((i * 7919) % 3000)}${i % 5 === 0 ? "" : "\n"}`,
            i % 3 === 0 ? "stdout" : "stderr",
          );
          if (i % 50 === 0) await checkpoint();
        }
        log.write("\n", "stdout");
        log.write("\n", "stderr");
      }),
    ]);
    let job_ = 0;
    const act = fc.constantFrom("hold commits", "commit one", "commit", "hold acks", "ack", "drop", "repeat the spec");
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 600 }), fc.array(act, { maxLength: 12 }), async (lines, acts) => {
        const attempt = server.assign(`job-${job_++}`, "test", { parameters: { lines } });
        for (const each of acts) {
          if (each === "hold commits") server.behaviour.autoCommit = false;
          else if (each === "commit one") server.commit(1);
          else if (each === "commit") {
            server.behaviour.autoCommit = true;
            server.commit();
          } else if (each === "hold acks") server.behaviour.autoAck = false;
          else if (each === "ack") {
            server.behaviour.autoAck = true;
            server.acknowledge();
          } else if (each === "drop") server.drop();
          else server.deliver(attempt);
          await server.changed.wait({ ms: 3 });
        }
        server.behaviour.autoCommit = true;
        server.behaviour.autoAck = true;
        server.commit();
        server.acknowledge();
        expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
        const expected = (rest: boolean) =>
          numbered(lines)
            .filter((i) => (i % 3 === 0) === rest)
            .map((i) => `${i}${"y".repeat((i * 7919) % 3000)}${i % 5 === 0 ? "" : "\n"}`)
            .join("") + "\n";
        expect(attempt.bytes.length).toBe(expected(true).length + expected(false).length);
        expect(attempt.textOf("stdout")).toBe(expected(true));
        expect(attempt.textOf("stderr")).toBe(expected(false));
        expect(attempt.gaps).toEqual([]);
      }),
      { numRuns: 40 },
    );
  }, 60_000);

  test("of a chunk that the server refuses become a gap, the others all arrive", async () => {
    server.behaviour.refuse = ({ blob }) => (Buffer.from(blob).includes("poison") ? "it is poisoned" : undefined);
    await start([
      job(async ({ log, checkpoint }) => {
        for (const i of numbered(2000)) {
          log.info(i === 1000 ? "poison" : `line ${i}`);
          if (i % 10 === 0) await checkpoint();
          if (i % 100 === 0) await delay(1);
        }
      }),
    ]);
    const attempt = server.assign("a", "test");
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.gaps).toMatchObject([{ cause: GapCause.REFUSED, detail: "it is poisoned" }]);
    const [gap] = attempt.gaps;
    const first = Number(gap?.firstLine) - 1;
    const missing = numbered(Number(gap?.lineCount)).map((i) => first + i);
    expect(missing).toContain(1000);
    expect(attempt.lines).toEqual(
      numbered(2000)
        .filter((i) => !missing.includes(i))
        .map((i) => `line ${i}`),
    );
    expect(notices.join()).toContain("it is poisoned");
  });

  test("that the server lost after it had acknowledged them are reported and declared missing", async () => {
    const finish = gate();
    await start([
      job(async ({ log }) => {
        for (const i of numbered(100)) log.info(`line ${i}`);
        await finish.opened;
        log.info("end");
      }),
    ]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.lines.length === 100, "all lines are there");
    await server.roundTrip();
    await server.roundTrip();
    attempt.stored.length = 0;
    attempt.nextLine = 1;
    await server.restart();
    finish.open();
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.gaps).toMatchObject([{ cause: GapCause.STORE_ROLLBACK, firstLine: 1n, lineCount: 100n }]);
    expect(attempt.text).toBe("end\n");
    expect(notices.join()).toContain("the server's store was set back");
  });

  test("hold the job at a safe point while too many wait, and the vitals say so", async () => {
    server.behaviour.autoAck = false;
    let done = 0;
    await start(
      [
        job(async ({ log, paced }) => {
          for await (const i of paced(numbered(5000))) {
            log.info(`${i} ${"x".repeat(1000)}`);
            done = i + 1;
          }
        }),
      ],
      { bufferBytes: 1024 * 1024 },
    );
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.vitals.at(-1)?.stalledBy !== "" && attempt.vitals.length > 0, "the job stalls");
    expect(attempt.vitals.at(-1)?.stalledBy).toBe("waiting for the log to drain");
    const stalledAt = done;
    expect(stalledAt).toBeLessThan(1200);
    server.behaviour.autoAck = true;
    server.acknowledge();
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.lines).toHaveLength(5000);
  });

  test("fail a job that never waits at twice the bound, with a reason that says what to do", async () => {
    server.behaviour.autoAck = false;
    await start(
      [
        job(({ log }) => {
          try {
            for (;;) log.info("x".repeat(1000));
          } catch {
            // Even a job that swallows the error has failed.
          }
        }),
      ],
      { bufferBytes: 512 * 1024 },
    );
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.nextLine > 100, "lines are there");
    server.behaviour.autoAck = true;
    server.acknowledge();
    expect(await ended(attempt)).toBe(EndOutcome.FAILED);
    expect(attempt.report?.end?.reason).toMatch(/1\.\d MB of lines wait .* job\.log\.ready/);
    expect(attempt.bytes.length).toBeGreaterThan(1000 * 1000);
  }, 30_000);

  test("wait for the next stream and do not keep other attempts from theirs", async () => {
    const finish = gate();
    await start([
      job(async ({ log, name, id }) => {
        log.info(`${name} ${id}`);
        await finish.opened;
      }),
    ]);
    const attempts = ["a", "b", "c"].map((id) => server.assign(id, "test"));
    await server.until(() => attempts.every(({ text }) => text !== ""), "all lines are there");
    finish.open();
    for (const attempt of attempts) expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  });
});

describe("levers", () => {
  test.each([20, 200, 2000])("keep a speed of %i items per second within 2 %", async (speed) => {
    const times: number[] = [];
    await start([
      job(async ({ paced }) => {
        for await (const _ of paced(numbered(speed * 2 + 1))) times.push(performance.now());
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: speed } }] });
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    // A machine that stood for more than 20 ms is not made up for, by design: that time does not count.
    const firstMs = times[0] ?? 0;
    let [anchor, begun, stoodMs] = [firstMs, 0, 0];
    for (const at of times) {
      const lateMs = at - (anchor + (begun++ * 1000) / speed);
      // The loop hears of an item a moment after it began, and on a busy machine of the first one much later than of the others.
      expect(lateMs).toBeGreaterThan(-BEHIND_MS);
      if (lateMs > BEHIND_MS) [anchor, begun, stoodMs] = [at, 1, stoodMs + lateMs];
    }
    const tookMs = (times.at(-1) ?? 0) - firstMs;
    const rate = (times.length - 1) / ((tookMs - stoodMs) / 1000);
    expect(Math.abs(rate / speed - 1)).toBeLessThan(0.02);
    // Something of the speed must have been seen.
    expect(stoodMs).toBeLessThan(tookMs * 0.7);
  });

  test("a change of speed takes effect while the job waits for its next item", async () => {
    const seen: number[] = [];
    await start([
      job(async ({ paced }) => {
        for await (const i of paced(numbered(10))) seen.push(i);
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 0.01 } }] });
    await server.until(() => seen.length === 1, "the first item is done");
    server.set(attempt, { case: "speed", value: { itemsPerSecond: 100 } });
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  });

  test("a speed of 0 is rejected and the old one stays", async () => {
    const seen: number[] = [];
    await start([
      job(async ({ paced }) => {
        for await (const i of paced(numbered(30))) seen.push(i);
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 50 } }] });
    server.set(attempt, { case: "speed", value: { itemsPerSecond: 0 } });
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    const speeds = attempt.report?.levers.filter(({ value }) => value?.value.case === "speed");
    expect(speeds).toMatchObject([
      { outcome: LeverOutcome.APPLIED },
      { outcome: LeverOutcome.REJECTED, reason: "a speed of 0 is not above 0 items a second and at most a billion" },
    ]);
    expect(seen).toHaveLength(30);
  });

  test("a speed that holds for a while is reverted at its end", async () => {
    await start([
      job(async ({ paced }) => {
        for await (const _ of paced(numbered(1000)));
      }),
    ]);
    const speed = (itemsPerSecond: number) => ({ case: "speed" as const, value: { itemsPerSecond } });
    const attempt = server.assign("a", "test", { levers: [speed(10)] });
    server.set(attempt, speed(50), { durationMs: 200n, then: speed(5000) });
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(attempt.report?.levers.findLast(({ value }) => value?.value.case === "speed")).toMatchObject({
      outcome: LeverOutcome.REVERTED,
      value: { value: { value: { itemsPerSecond: 5000 } } },
    });
  });

  test("the log level keeps lower lines from being numbered", async () => {
    const go = gate();
    await start([
      job(
        async ({ log }) => {
          log.debug("one");
          await go.opened;
          log.debug("hidden");
          log.info("two");
        },
        { levers: ["log_level"] },
      ),
    ]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.text === "one\n", "the first line is there");
    const generation = server.set(attempt, { case: "logLevel", value: { level: 3 } });
    await server.until(() => attempt.report?.levers.at(-1)?.generation === generation, "the level is applied");
    go.open();
    await ended(attempt);
    expect(attempt.text).toBe("one\ntwo\n");
    expect(attempt.report?.end?.endLine).toBe(3n);
  });

  test("a job that comes to rest says so twice more, a second apart: whoever reads it knows that it stands", async () => {
    await start([
      job(async ({ paced }) => {
        for await (const _ of paced(numbered(1000)));
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 50 } }] });
    await server.until(() => (attempt.vitals.at(-1)?.itemsDone ?? 0n) > 5n, "it counts");
    const generation = server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
    await server.until(() => runLever(attempt)?.generation === generation, "the pause is applied");
    const appliedAtUs = runLever(attempt)?.atUs ?? 0n;
    const since = () => attempt.vitals.filter(({ atUs }) => atUs > appliedAtUs);
    const restedUs = () => Number((since().at(-1)?.atUs ?? 0n) - (since()[0]?.atUs ?? 0n));
    await server.until(() => restedUs() >= 1e6, "it has said for a second that it stands");
    expect(new Set(since().map(({ itemsDone }) => itemsDone)).size).toBe(1);
    expect(since().length).toBeLessThanOrEqual(4);
  });

  test("a pause is received before it is applied: the job finishes its item first", async () => {
    const finish = gate();
    await start([
      job(async ({ paced }) => {
        for await (const _ of paced([1, 2])) await finish.opened;
      }),
    ]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.report?.started === true, "it runs");
    const generation = server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
    await server.until(() => attempt.report?.receivedGeneration === generation, "the pause is received");
    expect(runLever(attempt)?.generation).not.toBe(generation);
    finish.open();
    await server.until(() => runLever(attempt)?.generation === generation, "the pause is applied");
    expect(attempt.vitals.at(-1)).toMatchObject({ itemsDone: 1n, itemsPerSecond: 0 });
    server.set(attempt, { case: "run", value: { mode: RunMode.RUN } });
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  });

  test("a pause stands while the link is away, and a command given meanwhile is obeyed on return", async () => {
    const seen: number[] = [];
    await start([
      job(async ({ paced }) => {
        for await (const i of paced(numbered(20))) seen.push(i);
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 100 } }] });
    await server.until(() => seen.length > 3, "items are done");
    const generation = server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
    await server.until(() => runLever(attempt)?.generation === generation, "the pause is applied");
    const stood = seen.length;
    await server.stop();
    server.set(attempt, { case: "run", value: { mode: RunMode.RUN } });
    await server.start();
    expect(seen.length).toBe(stood);
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(seen).toEqual(numbered(20));
  });
});

describe("a cancelled job", () => {
  const cancel = (graceMs: number, reason = "enough") =>
    ({ case: "run", value: { mode: RunMode.CANCEL, graceMs, reason } }) as const;

  test("ends between two items", async () => {
    const reasons: unknown[] = [];
    await start([
      job(async ({ paced, signal }) => {
        signal.addEventListener("abort", () => reasons.push(signal.reason));
        for await (const _ of paced(numbered(1e6)));
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 1 } }] });
    await server.until(() => attempt.report?.started === true, "it runs");
    const generation = server.set(attempt, cancel(60_000));
    expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
    expect(attempt.report?.end?.reason).toBe("enough");
    expect(runLever(attempt)).toMatchObject({ generation, outcome: LeverOutcome.APPLIED });
    expect(reasons).toEqual([new JobCanceled("enough", 60_000)]);
  });

  test("that is paused wakes up to end", async () => {
    await start([
      job(async ({ paced }) => {
        for await (const _ of paced(numbered(1e6)));
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 100 } }] });
    const generation = server.set(attempt, { case: "run", value: { mode: RunMode.PAUSE } });
    await server.until(() => runLever(attempt)?.generation === generation, "the pause is applied");
    server.set(attempt, cancel(60_000));
    expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
  });

  test("has its grace to clean up, and what it prints then arrives", async () => {
    await start([
      job(async ({ log, signal }) => {
        try {
          await untilAborted(signal);
        } finally {
          await delay(50);
          log.info("cleaned up");
        }
      }),
    ]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.report?.started === true, "it runs");
    server.set(attempt, cancel(5000));
    expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
    expect(attempt.text).toBe("cleaned up\n");
  });

  test("is given up when its function does not end within the grace, and a second cancel can only shorten that", async () => {
    await start([job(() => new Promise<void>(() => {}))]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.report?.started === true, "it runs");
    server.set(attempt, cancel(60_000));
    server.set(attempt, cancel(100_000));
    const generation = server.set(attempt, { case: "run", value: { mode: RunMode.RUN } });
    await server.until(() => runLever(attempt)?.generation === generation, "the answer is there");
    expect(runLever(attempt)).toMatchObject({ outcome: LeverOutcome.REJECTED, reason: "cancelling" });
    server.set(attempt, cancel(100));
    expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
    const words = "given up, as it had not ended within 0.1 s: its function may still run";
    expect(attempt.text).toContain(words);
    expect(attempt.report?.end).toMatchObject({ reason: `enough; ${words}`, mayStillRun: true });
  });

  test("that completes its work all the same has succeeded", async () => {
    const finish = gate();
    await start([job(() => finish.opened)]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.report?.started === true, "it runs");
    const generation = server.set(attempt, cancel(60_000));
    await server.until(() => attempt.report?.receivedGeneration === generation, "the cancel is received");
    finish.open();
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
    expect(runLever(attempt)?.generation).not.toBe(generation);
  });

  test("that was cancelled before it began never runs", async () => {
    let runs = 0;
    await start([job(() => void runs++)]);
    await ended(server.assign("a", "test"));
    await server.stop();
    const attempt = server.assign("b", "test");
    server.set(attempt, cancel(1000));
    await server.start();
    expect(await ended(attempt)).toBe(EndOutcome.CANCELED);
    expect(attempt.report?.started).toBe(false);
    expect(runs).toBe(1);
  });
});

describe("the end of an attempt", () => {
  test("is a failure with the error's message, and the stack stands in the log as errors", async () => {
    await start([
      job(() => {
        throw new Error("out of cheese");
      }),
    ]);
    const attempt = server.assign("a", "test");
    expect(await ended(attempt)).toBe(EndOutcome.FAILED);
    expect(attempt.report?.end?.reason).toBe("out of cheese");
    expect(attempt.text).toMatch(/^Error: out of cheese\n +at /);
  });

  test("is said again in every hello until it is accepted, and the attempt never runs twice", async () => {
    let runs = 0;
    server.behaviour.acceptEnds = false;
    await start([job(() => void runs++)]);
    const attempt = server.assign("a", "test");
    await ended(attempt);
    server.drop();
    await server.until(() => server.hellos.length === 2, "it is back");
    expect(server.hellos[1]?.attempts[0]?.end?.outcome).toBe(EndOutcome.SUCCEEDED);
    server.behaviour.acceptEnds = true;
    server.drop();
    await server.until(() => attempt.endAccepted, "the end is accepted");
    server.deliver(attempt);
    const other = server.assign("b", "test");
    await ended(other);
    expect(runs).toBe(2);
  });

  test("comes only when the last line is acknowledged", async () => {
    server.behaviour.autoAck = false;
    await start([job(({ log }) => log.info("last"))]);
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.text === "last\n", "the line is stored");
    await server.roundTrip();
    expect(attempt.report?.end).toBeUndefined();
    server.behaviour.autoAck = true;
    server.acknowledge();
    expect(await ended(attempt)).toBe(EndOutcome.SUCCEEDED);
  });

  test("is declined for a type that the worker does not have, or when all slots are taken", async () => {
    const finish = gate();
    const worker = await start([job(() => finish.opened)], { slots: 1 });
    const unknown = server.assign("a", "other");
    expect(await ended(unknown)).toBe(EndOutcome.DECLINED);
    const first = server.assign("b", "test");
    await server.until(() => worker.running === 1, "it runs");
    const second = server.assign("c", "test");
    expect(await ended(second)).toBe(EndOutcome.DECLINED);
    expect(second.report).toMatchObject({ started: false, end: { endLine: 1n } });
    finish.open();
    expect(await ended(first)).toBe(EndOutcome.SUCCEEDED);
  });

  test("is evidence when the attempt was given up: the job stops, and what the server does not have goes apart", async () => {
    const stopped = gate();
    await start([
      job(async ({ log, paced, signal }) => {
        try {
          for await (const i of paced(numbered(1e6))) log.info(`line ${i}`);
        } finally {
          expect(signal.reason).toBeInstanceOf(JobFenced);
          stopped.open();
        }
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 1000 } }] });
    await server.until(() => attempt.lines.length > 10, "lines are there");
    server.behaviour.autoCommit = false;
    const stored = attempt.lines.length;
    await delay(50);
    server.fence(attempt);
    await stopped.opened;
    server.behaviour.autoCommit = true;
    await server.until(() => attempt.endAccepted, "its end is told");
    expect(attempt.lines.length).toBe(stored);
    const all = [...attempt.lines, ...attempt.lateEvidence.lines];
    expect(all.length).toBeGreaterThan(stored);
    expect(all).toEqual(all.map((_, i) => `line ${i}`));
    expect(attempt.report?.end).toMatchObject({ outcome: EndOutcome.FAILED, reason: "stopped: for a test" });
    await server.roundTrip();
    server.drop();
    await server.until(() => server.hellos.length === 2, "it is back");
    expect(server.hellos[1]?.attempts).toEqual([]);
  });

  test("is given up, with its lines, when the server takes no evidence of a fenced attempt", async () => {
    await start([
      job(async ({ log, paced }) => {
        for await (const i of paced(numbered(1e6))) log.info(`line ${i}`);
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 1000 } }] });
    await server.until(() => attempt.lines.length > 10, "lines are there");
    server.behaviour.autoCommit = false;
    server.behaviour.takeLate = false;
    await delay(50);
    server.fence(attempt);
    await server.until(() => notices.some((notice) => notice.includes("not taken any more: ")), "it is said");
    await server.roundTrip();
    server.drop();
    await server.until(() => server.hellos.length === 2, "it is back");
    expect(server.hellos[1]?.attempts).toEqual([]);
  });
});

describe("what a job saves", () => {
  test("is sent now and then and with the end, and the next attempt gets it", async () => {
    await start([
      job(async ({ paced, checkpoint, saved, log }) => {
        log.info(`saved: ${saved ? Buffer.from(saved).toString() : "nothing"}`);
        for await (const i of paced(numbered(300))) await checkpoint(Buffer.from(String(i)));
        throw new Error("not done");
      }),
    ]);
    const first = server.assign("a", "test");
    await ended(first);
    const withCheckpoint = first.reports.filter(({ checkpoint }) => checkpoint.length > 0);
    expect(withCheckpoint.length).toBeLessThan(4);
    const checkpoint = withCheckpoint.at(-1)?.checkpoint ?? new Uint8Array();
    expect(Buffer.from(checkpoint).toString()).toBe("299");
    const second = server.assign("a", "test", { attempt: 2, checkpoint });
    await ended(second);
    expect(second.text).toContain("saved: 299\n");
  });

  test("has at most 64 KiB", async () => {
    await start([job(({ checkpoint }) => checkpoint(new Uint8Array(65 * 1024)))]);
    const attempt = server.assign("a", "test");
    expect(await ended(attempt)).toBe(EndOutcome.FAILED);
    expect(attempt.report?.end?.reason).toBe("a checkpoint has at most 65536 bytes, not 66560");
  });
});

describe("progress", () => {
  test("is sent at most four times a second, only if it changed, and with the measured rate", async () => {
    const finish = gate();
    await start([
      job(async ({ paced, progress }) => {
        progress({ total: 150, phase: "working", bytesDone: 5, bytesTotal: 10 });
        for await (const _ of paced(numbered(150)));
        await finish.opened;
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 100 } }] });
    await server.until(() => attempt.vitals.at(-1)?.itemsDone === 150n, "all items are done");
    const seconds = (Number(attempt.vitals.at(-1)?.atUs) - Number(attempt.vitals[0]?.atUs)) / 1e6;
    expect(attempt.vitals.length).toBeLessThan(seconds * 4 + 4);
    expect(attempt.vitals.at(-1)).toMatchObject({ itemsTotal: 150n, phase: "working", bytesDone: 5n, bytesTotal: 10n });
    expect(attempt.vitals.find(({ itemsDone }) => itemsDone > 80n)?.itemsPerSecond).toBeGreaterThan(50);
    expect(attempt.vitals.find(({ itemsDone }) => itemsDone > 80n)?.itemsPerSecond).toBeLessThan(115);
    finish.open();
    await ended(attempt);
  });
});

describe("a worker that stops", () => {
  test("releases what runs, delivers its lines, and leaves", async () => {
    const worker = await start([
      job(async ({ log, paced }) => {
        try {
          for await (const i of paced(numbered(1e6))) log.info(`line ${i}`);
        } finally {
          log.info("last words");
        }
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 500 } }] });
    await server.until(() => attempt.lines.length > 10, "lines are there");
    await worker.stop("for a test");
    expect(attempt.report?.end).toMatchObject({ outcome: EndOutcome.RELEASED, reason: "for a test" });
    expect(attempt.lines.at(-1)).toBe("last words");
    expect(server.leavings).toEqual(["for a test"]);
    expect(worker.state).toEqual({ kind: "closed", reason: "for a test" });
  });

  test("says so before it goes, even if nothing runs", async () => {
    const worker = await start([job(() => undefined)]);
    await worker.stop("for a test");
    expect(server.leavings).toEqual(["for a test"]);
  });

  test("gives up a job that does not end in time", async () => {
    const worker = await start([job(() => new Promise<void>(() => {}))], { stopGraceMs: 50 });
    const attempt = server.assign("a", "test");
    await server.until(() => worker.running === 1, "it runs");
    await worker.stop();
    expect(attempt.report?.end?.outcome).toBe(EndOutcome.RELEASED);
  });

  test("declines what is assigned to it meanwhile", async () => {
    const finish = gate();
    const worker = await start([job(() => finish.opened)], { stopGraceMs: 5000 });
    const attempt = server.assign("a", "test");
    await server.until(() => worker.running === 1, "it runs");
    const stopping = worker.stop();
    expect(await ended(server.assign("b", "test"))).toBe(EndOutcome.DECLINED);
    finish.open();
    await stopping;
    expect(attempt.report?.end?.outcome).toBe(EndOutcome.SUCCEEDED);
  });

  test("stops although there is no server, and says what it could not deliver", async () => {
    const worker = await start([job(({ log }) => log.info("x"))], { stopTimeoutMs: 300 });
    server.behaviour.autoAck = false;
    const attempt = server.assign("a", "test");
    await server.until(() => attempt.text !== "", "the line is stored");
    await server.stop();
    await worker.stop();
    expect(notices.join()).toContain("a/1: stopped before the server had its end");
    expect(worker.state.kind).toBe("closed");
  });

  test("leaves no timer and no socket behind", async () => {
    const before = process.getActiveResourcesInfo().filter((each) => each !== "TCPServerWrap");
    const worker = await start([
      job(async ({ log, paced }) => {
        for await (const i of paced(numbered(1e6))) log.write(`partial ${i}`);
      }),
    ]);
    const attempt = server.assign("a", "test", { levers: [{ case: "speed", value: { itemsPerSecond: 500 } }] });
    await server.until(() => attempt.nextLine > 3, "lines are there");
    await worker.stop();
    const left = () =>
      process.getActiveResourcesInfo().filter((each) => ["Timeout", "Immediate", "TCPSocketWrap"].includes(each))
        .length;
    const limit = before.filter((each) => ["Timeout", "Immediate", "TCPSocketWrap"].includes(each)).length;
    await server.until(() => left() <= limit + 1, `nothing is left: ${process.getActiveResourcesInfo().join()}`);
  });
});
