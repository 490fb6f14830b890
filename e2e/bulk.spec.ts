import { JobState } from "@signalbox/protocol";
import { begin, command } from "./command.ts";
import { expect, test } from "./fixtures.ts";

test.setTimeout(180_000);

test("a terminal commands many jobs: says what will happen, takes it back, says what became of each, and is seen by others", async ({
  signalbox,
}) => {
  await signalbox.worker("w1");
  const run = (...args: string[]) => command(signalbox, args);
  const started = async (...args: string[]) => {
    await expect.poll(async () => (await run("types")).stdout).toContain("items");
    return (await run("start", "items", ...args, "--quiet")).stdout.trim();
  };
  const first = await started("count=1000000", "--name", "first", "--label", "team=x", "--speed", "100");
  const second = await started("count=1000000", "--name", "second", "--label", "team=x", "--speed", "100");
  const apart = await started("count=1000000", "--name", "apart", "--speed", "100");
  const over = await started("count=1", "--name", "over", "--label", "team=x");
  for (const id of [first, second, apart]) await signalbox.state(id, JobState.RUNNING);
  await signalbox.state(over, JobState.SUCCEEDED);

  // Nobody can be asked here, so that a filter does nothing without --yes.
  const unasked = await run("cancel", "--label", "team=x");
  expect(unasked).toMatchObject({ code: 2, stdout: "" });
  expect(unasked.stderr).toContain("Cancels 2 jobs:\n       2 running\nSkips 1 job:\n       1 succeeded\n");

  // While it is held, others see it and Ctrl+C takes it back.
  const held = begin(signalbox, ["cancel", "--label", "team=x", "--yes", "--hold", "1m"]);
  await expect.poll(async () => (await run("bulk")).stdout).toMatch(/cancel, 10 s grace +label team=x +held +0 of 3/);
  held.child.kill("SIGINT");
  const undone = await held.ended;
  expect(undone).toMatchObject({ code: 130, stdout: "" });
  expect(undone.stderr).toMatch(/Taken back: no job has noticed\. \(b-[a-z0-9]{10}\)/);
  await signalbox.state(first, JobState.RUNNING);

  // Two that are named, held for nothing; the third is not meant.
  const paused = await run("pause", "first", "second", over, "--hold", "0");
  expect(paused.code).toBe(0);
  expect(paused.stdout.split("\n").filter(Boolean).sort()).toEqual([
    expect.stringMatching(/^first: paused after [\d.]+ m?s, at line [\d,]+$/),
    "over: skipped: succeeded already",
    expect.stringMatching(/^second: paused after [\d.]+ m?s, at line [\d,]+$/),
  ]);
  expect(paused.stderr).toContain("2 of 3 jobs took it, 1 skipped.");
  await signalbox.state(apart, JobState.RUNNING);

  // The same in JSON: the preview, each job, the record.
  const { code, json } = await run("resume", "--state", "paused", "--type", "items", "--yes", "--hold", "0", "--json");
  expect(code).toBe(0);
  const [preview, ...rest] = json;
  const record = rest.pop();
  expect(preview).toEqual({ preview: { touched: [{ state: "JOB_STATE_PAUSED", jobs: 2 }], touchedTotal: 2 } });
  expect(rest.map(({ jobId, outcome }) => [jobId, outcome])).toEqual([
    [first, "applied"],
    [second, "applied"],
  ]);
  expect(record).toMatchObject({
    bulk: { state: "BULK_STATE_DONE", accepted: 2, selectionWords: "state Paused, type items" },
  });

  // Where nothing is left to do, nothing is refused.
  expect(await run("resume", "--all", "--yes")).toMatchObject({ code: 0, stdout: "" });

  // One gives it, another one does not wait for it.
  const waits = begin(signalbox, ["cancel", "--text", "IRST", "--yes", "--hold", "1m", "--grace", "5s"]);
  let id = "";
  await expect.poll(async () => (id = /^(b-\S+) .* held /m.exec((await run("bulk")).stdout)?.[1] ?? "")).not.toBe("");
  expect((await run("bulk", "release", id)).stdout).toContain("Not held any longer");
  expect(await waits.ended).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^first: canceled after /),
  });
  expect((await run("bulk", "undo", id)).stderr).toContain("It cannot be undone: it is done.");
  expect((await run("bulk", "show", id)).stdout).toContain(`  ${first}  accepted\n`);
  expect((await run("retry", "first", "over", "--hold", "0")).stdout).toBe(
    "first: waits for a worker\nover: skipped: succeeded already\n",
  );
});

test("a command to many is held, given and told to its end although the server is killed on the way", async ({
  signalbox,
}) => {
  await signalbox.worker("w1");
  const jobs: string[] = [];
  for (const name of ["one", "two", "three"]) jobs.push(await signalbox.startJob("items", { count: 1_000_000 }, name));
  for (const id of jobs) await signalbox.state(id, JobState.RUNNING);
  const pausing = begin(signalbox, ["pause", "--type", "items", "--yes", "--hold", "4s", "--timeout", "1m"]);
  await expect.poll(async () => (await command(signalbox, ["bulk"])).stdout).toMatch(/ held +0 of 3/);
  await signalbox.server.kill("SIGKILL");
  await signalbox.start();
  const { code, stdout, stderr } = await pausing.ended;
  expect([code, stdout.split("\n").filter(Boolean).sort()]).toEqual([
    0,
    ["one", "three", "two"].map((name) => expect.stringMatching(new RegExp(`^${name}: paused after `)) as unknown),
  ]);
  expect(stderr).toContain("3 of 3 jobs took it.");
  for (const id of jobs) await signalbox.state(id, JobState.PAUSED);
});
