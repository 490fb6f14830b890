import { setTimeout as delay } from "node:timers/promises";
import { EndOutcome, JobState, type JobRecord } from "@signalbox/protocol";
import { listSpools, readSpool } from "@signalbox/worker/spool";
import { command } from "./command.ts";
import { expect, test, type Signalbox } from "./fixtures.ts";
import { Supervised } from "./supervised.ts";

interface Left {
  readonly owner: string;
  readonly jobId: string;
  readonly name: string;
  readonly lines: number;
  /** The number after the last of them. */
  readonly nextLine: number;
}

/** What is kept on this machine: what `signalbox spool` lists. */
async function kept(signalbox: Signalbox): Promise<Left[]> {
  const found: Left[] = [];
  for (const { path, owner } of await listSpools(signalbox.spool))
    for (const { note, nextLine, ackedLine } of await readSpool(path).catch(() => []))
      found.push({ owner, jobId: note?.jobId ?? "", name: note?.name ?? "", lines: nextLine - ackedLine, nextLine });
  return found;
}

/** Starts a command under `signalbox run`, and ends it with the test, whatever has become of it. */
function run(signalbox: Signalbox, words: readonly string[], name: string): Supervised {
  const supervised = new Supervised(signalbox, words, { flags: ["--name", name], echo: "dropped" });
  running.add(supervised);
  return supervised;
}

const running = new Set<Supervised>();
test.afterEach(async () => {
  for (const supervised of running) await supervised.kill();
  running.clear();
});

/** The numbers that `seq` has printed into a log: each once, from 1 on. Returns how many. */
function counted(text: Buffer): number {
  const lines = text.toString().split("\n");
  // The last line may be cut.
  for (let i = 0; i < lines.length - 1; i++)
    if (lines[i] !== String(i + 1)) throw new Error(`line ${i + 1} is ${lines[i]}`);
  return lines.length - 1;
}

async function jobNamed(signalbox: Signalbox, name: string): Promise<JobRecord | undefined> {
  const { jobs } = await signalbox.jobs.listJobs({ pageSize: 100 });
  return jobs.find((job) => job.name === name);
}

test("supervisors that are killed again and again lose nothing that they had written down, with the server there or away", async ({
  signalbox,
}) => {
  test.setTimeout(300_000);
  const rounds = 4;
  const written = new Map<string, number>();
  for (let round = 1; round <= rounds; round++) {
    const isAway = round === 2;
    if (isAway) await signalbox.server.kill("SIGKILL");
    const name = `round ${round}`;
    const supervised = run(signalbox, ["seq", "1", "1000000000"], name);
    const own = async () => (await kept(signalbox)).find((left) => left.name === name);
    if (isAway) await expect.poll(async () => (await own())?.lines ?? 0, { timeout: 60_000 }).toBeGreaterThan(10_000);
    else
      await expect
        .poll(async () => (await jobNamed(signalbox, name))?.state, { timeout: 90_000 })
        .toBe(JobState.RUNNING);
    await delay(200 + Math.random() * 800);
    await supervised.kill();
    const left = await own();
    if (left) {
      expect(left.owner).toBe("dead");
      written.set(name, left.nextLine);
    }
    if (isAway) await signalbox.start();
  }
  const { code, stderr } = await command(signalbox, ["spool", "deliver"]);
  expect(code, stderr).toBe(0);
  expect(await kept(signalbox)).toEqual([]);
  expect(written.get("round 2")).toBeGreaterThan(10_000);
  for (let round = 1; round <= rounds; round++) {
    const record = await jobNamed(signalbox, `round ${round}`);
    const jobId = record?.id ?? "";
    expect(counted(await signalbox.text(jobId))).toBeGreaterThan(0);
    const { endLine } = await signalbox.logs.readLogs({ jobId, attempt: 1, fromLine: 1n });
    expect(Number(endLine), `round ${round}`).toBeGreaterThanOrEqual(written.get(`round ${round}`) ?? 1);
  }
});

test("a command that has ended while the server was away is delivered with its end by the next run", async ({
  signalbox,
}) => {
  test.setTimeout(240_000);
  await signalbox.server.kill("SIGKILL");
  const away = run(signalbox, ["sh", "-c", "sleep 3; seq 1 20000"], "away");
  expect(await away.code).toBe(0);
  const endedMs = Date.now();
  expect(away.stderr()).toMatch(/of the output are kept here: the next signalbox run to that server delivers them/);
  const listed = await command(signalbox, ["spool", "--json"]);
  expect(listed.json).toMatchObject([{ name: "away", jobId: "", owner: "dead", lines: 20_000, ended: "succeeded" }]);
  const exported = await command(signalbox, ["spool", "export", String(listed.json[0]?.["spool"])]);
  expect(counted(Buffer.from(exported.stdout))).toBe(20_000);
  const nobody = await command(signalbox, ["spool", "deliver"]);
  expect([nobody.code, nobody.stderr]).toEqual([4, expect.stringContaining("Not delivered")]);
  await signalbox.start();
  const next = run(signalbox, ["sleep", "20"], "next");
  await expect
    .poll(async () => (await jobNamed(signalbox, "away"))?.state, { timeout: 60_000 })
    .toBe(JobState.SUCCEEDED);
  await next.kill();
  const record = await jobNamed(signalbox, "away");
  expect(record?.attempts[0]?.end).toMatchObject({ outcome: EndOutcome.SUCCEEDED, exitCode: 0 });
  expect(counted(await signalbox.text(record?.id ?? ""))).toBe(20_000);
  // It ran when it ran, not when that was told.
  const ranMs = Number((record?.endedAtUs ?? 0n) - (record?.startedAtUs ?? 0n)) / 1000;
  expect(ranMs).toBeGreaterThan(2_900);
  expect(Number(record?.endedAtUs) / 1000).toBeLessThan(endedMs);
});

test("a worker that is killed delivers what it had at its next start, into the attempt that it was lost in", async ({
  signalbox,
}) => {
  test.setTimeout(240_000);
  const first = await signalbox.worker("w");
  const jobId = await signalbox.startJob("lines", { per_second: 2000 });
  await signalbox.state(jobId, JobState.RUNNING);
  await expect.poll(async () => Number((await signalbox.job(jobId)).vitals?.lines ?? 0n)).toBeGreaterThan(500);
  await signalbox.server.kill("SIGKILL");
  await expect.poll(async () => (await kept(signalbox))[0]?.lines ?? 0, { timeout: 60_000 }).toBeGreaterThan(3000);
  await first.kill("SIGKILL");
  const [left] = await kept(signalbox);
  expect(left).toMatchObject({ jobId, owner: "dead" });
  await signalbox.start();
  await signalbox.worker("w");
  await expect.poll(() => kept(signalbox), { timeout: 60_000 }).toEqual([]);
  const text = (await signalbox.text(jobId)).toString().split("\n").slice(0, -1);
  expect(text.length).toBeGreaterThanOrEqual(left?.lines ?? 0);
  text.forEach((line, i) => expect(line.startsWith(`INFO line ${i + 1} of job `)).toBe(true));
  expect((await signalbox.job(jobId)).record.state).toBe(JobState.LOST);
});
