import { spawnSync } from "node:child_process";
import { JobState, RunMode, StoreState } from "@signalbox/protocol";
import { expect, onTestFinished, test } from "vitest";
import { canMount, mountSmallDisk } from "./store/sqlite/small-disk.ts";
import { join } from "node:path";
import { integrityOf } from "./store/testing.ts";
import { RealRoom } from "./testing/real-room.ts";

const mebibyte = 1024 * 1024;

function smallDisk() {
  const disk = mountSmallDisk(64);
  if (!disk) throw new Error("no disk can be mounted");
  onTestFinished(() => disk[Symbol.asyncDispose]());
  return disk;
}

async function readyz(room: RealRoom): Promise<unknown> {
  const response = await fetch(`${room.operatorUrl}/readyz`);
  return [response.status, await response.json()];
}

/** The value of a metric. */
async function metric(room: RealRoom, name: string): Promise<number> {
  const headers = { authorization: `Bearer ${await room.token()}` };
  const text = await (await fetch(`${room.operatorUrl}/metrics`, { headers })).text();
  return Number(new RegExp(`^${name} (.+)$`, "m").exec(text)?.[1]);
}

/** What a watching page hears of the store; that little space is left may be too short a moment to be heard. */
function watchStore(room: RealRoom): StoreState[] {
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const heard: StoreState[] = [];
  const subscriptions = [{ id: "jobs", kind: { case: "jobs" as const, value: {} } }];
  void (async () => {
    for await (const { message } of room.live.watch({ subscriptions }, { signal: stop.signal })) {
      if (message.case !== "hello" && message.case !== "heartbeat") continue;
      const state = message.value.store?.state ?? StoreState.UNSPECIFIED;
      if (state !== heard.at(-1) && state !== StoreState.LOW) heard.push(state);
    }
  })().catch(() => undefined); // The test has ended it; what was heard until then is what counts.
  return heard;
}

/** Levels of the lines in the server's log that say that the disk is full, or not any more. */
const saidOfDisk = (room: RealRoom) =>
  room.server
    .output()
    .split("\n")
    .flatMap((line) => / on the disk/.exec(line)?.input ?? [])
    .map((line) => (JSON.parse(line) as { level: string }).level)
    .filter((level) => level !== "warn");

test.skipIf(!canMount)(
  "on a full disk no line is acknowledged, reading, login and cancel work, everybody is told, and all goes on by itself when there is room (needs root, to mount a disk)",
  { timeout: 300_000 },
  async () => {
    const disk = smallDisk();
    await using room = await RealRoom.open(join(disk.folder, "data"));
    await room.start();
    await room.worker("w1");
    const busy = await room.lines(3_000);
    await room.state(busy, JobState.RUNNING);
    const heard = watchStore(room);
    expect(await readyz(room)).toEqual([200, { ready: true }]);
    await disk.fill(2 * mebibyte);
    await expect.poll(() => heard, { timeout: 30_000 }).toEqual([StoreState.OK, StoreState.FULL]);

    expect(await readyz(room)).toEqual([503, { ready: false, reason: "the disk is full: no lines are taken" }]);
    expect((await fetch(`${room.operatorUrl}/healthz`)).status).toBe(200);
    expect(await metric(room, "signalbox_store_state")).toBe(2);
    await expect.poll(() => metric(room, "signalbox_store_free_bytes")).toBeLessThan(3 * mebibyte);
    const stored = await room.stored(busy);
    const chunks = await metric(room, "signalbox_ingest_chunks_total");

    // Login.
    const headers = { authorization: `Bearer ${await room.token()}` };
    const { url } = (await (await fetch(`${room.operatorUrl}/auth/link`, { method: "POST", headers })).json()) as {
      url: string;
    };
    const login = await fetch(`${room.operatorUrl}/auth/session`, {
      method: "POST",
      headers: { "content-type": "application/json", host: new URL(url).host },
      body: JSON.stringify({ code: new URL(url).hash.replace("#code=", "") }),
    });
    expect(login.status).toBe(204);
    // Reading.
    expect((await room.text(busy)).toString().split("\n").length - 1).toBe(stored);
    // Commands: a job that waits is canceled at once, one that runs is told to.
    const waiting = await room.lines(10, RunMode.PAUSE);
    await room.cancel(waiting);
    await room.state(waiting, JobState.CANCELED);
    await room.cancel(busy);
    await expect
      .poll(async () => (await room.jobs.getJob({ jobId: busy })).job?.receipts.at(-1)?.deliveredAtUs, {
        timeout: 20_000,
      })
      .toBeGreaterThan(0n);
    expect(await room.stored(busy)).toBe(stored);
    // Nothing is pulled in a circle.
    expect((await metric(room, "signalbox_ingest_chunks_total")) - chunks).toBeLessThan(20);
    expect((await room.jobs.getJob({ jobId: busy })).job?.state).toBe(JobState.RUNNING);

    await disk.free();
    await room.state(busy, JobState.CANCELED);
    await expect.poll(() => heard, { timeout: 30_000 }).toEqual([StoreState.OK, StoreState.FULL, StoreState.OK]);
    expect(await readyz(room)).toEqual([200, { ready: true }]);
    expect(await room.expectWhole(busy)).toBeGreaterThan(stored);
    expect(saidOfDisk(room)).toEqual(["error", "info"]);
    await room.server.kill("SIGTERM");
    expect(room.server.process.exitCode).toBe(0);
    expect(integrityOf(room.data)).toEqual(["ok", "ok"]);
  },
);

test.skipIf(!canMount)(
  "a server that is stopped on a full disk ends in time, and the next one has every acknowledged line once (needs root, to mount a disk)",
  { timeout: 300_000 },
  async () => {
    const disk = smallDisk();
    await using room = await RealRoom.open(join(disk.folder, "data"));
    await room.start();
    await room.worker("w1");
    const job = await room.lines(3_000);
    await room.state(job, JobState.RUNNING);
    await disk.fill(2 * mebibyte);
    await expect.poll(async () => (await readyz(room)) as unknown[], { timeout: 30_000 }).toContain(503);
    await room.server.kill("SIGTERM");
    expect(room.server.process.exitCode).toBe(0);
    expect(room.server.output()).not.toContain("not everything has ended");

    // There is no more room than before.
    await room.start();
    await expect.poll(async () => (await readyz(room)) as unknown[], { timeout: 30_000 }).toContain(503);
    await room.server.kill("SIGKILL");
    await room.start();
    await room.cancel(job);
    await disk.free();
    await room.state(job, JobState.CANCELED);
    await room.expectWhole(job);
    await room.server.kill("SIGTERM");
    expect(integrityOf(room.data)).toEqual(["ok", "ok"]);
  },
);

test.skipIf(spawnSync("strace", ["-V"]).status !== 0)(
  "when the disk fails to sync the server says so in one line and ends with 1; the next one has every line once (needs strace)",
  { timeout: 300_000 },
  async () => {
    await using room = await RealRoom.open();
    const faults = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO:when=60+"];
    await room.start(["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", ...faults]);
    await room.worker("w1");
    const job = await room.lines(2_000);
    await expect.poll(() => room.server.process.exitCode, { timeout: 60_000 }).toBe(1);
    const last = room.server
      .output()
      .split("\n")
      .flatMap((line) => (line.startsWith("{") ? [JSON.parse(line) as { level: string; msg: string }] : []))
      .filter(({ level }) => level === "fatal" || level === "error");
    expect(last.map(({ level }) => level)).toEqual(["fatal"]);
    expect(last[0]?.msg).toContain(
      `the disk did not keep what was written to ${room.data} (disk I/O error): nothing is acknowledged any more and the server ends`,
    );

    await room.start();
    await expect.poll(() => room.stored(job), { timeout: 30_000 }).toBeGreaterThan(1_000);
    await room.cancel(job);
    await room.state(job, JobState.CANCELED);
    await room.expectWhole(job);
    await room.server.kill("SIGTERM");
    expect(integrityOf(room.data)).toEqual(["ok", "ok"]);
  },
);
