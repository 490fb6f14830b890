import { create } from "@bufbuild/protobuf";
import { JobTypeSchema } from "@signalbox/protocol";
import { expect, test } from "vitest";
import { openTempStore } from "../store/testing.ts";
import { candidate, operator, TestQueue } from "../testing/open-queue.ts";
import { openAttempt } from "./job-record.ts";

const twoAtATime = [create(JobTypeSchema, { name: "count", mostRunning: 2 })];

test("no more jobs of a type run than its worker declares, and jobs of other types pass those that wait for that", async () => {
  const worker = candidate({ slots: 10, jobTypes: new Set(["count", "other"]) });
  await using queue = await TestQueue.open(() => [worker], twoAtATime);
  const all = await queue.startMany(5);
  const other = await queue.start({ type: "other" });
  await expect.poll(() => queue.running().length).toBe(3);
  const running = queue.running().map(({ id }) => id);
  expect(running).toContain(other.id);
  const waiting = all.filter(({ id }) => !running.includes(id));
  await expect
    .poll(() => waiting.map(({ id }) => queue.waitsFor(id)).sort())
    .toEqual(["1st", "2nd", "3rd"].map((place) => `type count has its limit of 2 running · ${place} in line`));
  expect(queue.dispatch.limitUses()).toMatchObject([
    { limit: { type: "count", mostRunning: 2 }, running: 2, waiting: 3 },
  ]);
  await queue.end(running.find((id) => id !== other.id) ?? "");
  await expect.poll(() => queue.dispatch.limitUses()).toMatchObject([{ running: 2, waiting: 2 }]);
});

test("never do more run than may, however many come and go at once", async () => {
  await using queue = await TestQueue.open(() => [candidate({ slots: 50 })], twoAtATime);
  let most = 0;
  queue.jobs.onEntry(() => (most = Math.max(most, queue.running().length)));
  const starting = queue.startMany(60);
  let ended = 0;
  const endAll = async () => {
    for (const { id } of queue.running()) {
      await queue.end(id);
      ended++;
    }
    return ended;
  };
  await expect.poll(endAll, { timeout: 30_000, interval: 1 }).toBe(60);
  await starting;
  expect(most).toBe(2);
});

test("an operator's limit takes the place of a worker's, at once, until it is lifted", async () => {
  await using queue = await TestQueue.open(() => [candidate({ slots: 10 })], twoAtATime);
  await queue.startMany(4);
  await queue.setLimit({ type: "count", mostRunning: 3 });
  await expect.poll(() => queue.running().length).toBe(3);
  expect(queue.limits.all()).toMatchObject([{ mostRunning: 3, actor: operator }]);
  await queue.setLimit({ type: "count" }, true);
  expect(queue.limits.all()).toMatchObject([{ mostRunning: 2, atUs: 0n }]);
  await queue.setLimit({ type: "count" }, true);
  await queue.end(queue.running()[0]?.id ?? "");
  await expect.poll(() => queue.dispatch.limitUses()).toMatchObject([{ running: 2, waiting: 1 }]);
  await queue.setLimit({ type: "count", mostRunning: 0 });
  const [waiting] = [...queue.jobs.live()].filter((job) => !openAttempt(job.record));
  await expect
    .poll(() => queue.waitsFor(waiting?.id ?? ""))
    .toBe("type count may not run: its limit is 0 · 1st in line");
});

test("a limit of a label counts each value for itself, unless a value has its own", async () => {
  await using queue = await TestQueue.open(() => [candidate({ slots: 20 })]);
  await queue.setLimit({ labelKey: "team", mostRunning: 1 });
  await queue.setLimit({ labelKey: "team", labelValue: "payments", mostRunning: 2 });
  for (const team of ["payments", "search", "mail"]) await queue.startMany(3, { labels: { team } });
  await queue.startMany(2);
  const teams = () => queue.running().map(({ labels }) => labels["team"] ?? "");
  await expect.poll(() => teams().sort()).toEqual(["", "", "mail", "payments", "payments", "search"]);
  expect(queue.dispatch.limitUses()).toMatchObject([
    { limit: { labelKey: "team", labelValue: "" }, running: 1, waiting: 4 },
    { limit: { labelKey: "team", labelValue: "payments" }, running: 2, waiting: 1 },
  ]);
  const waits = () => [...queue.jobs.live()].map((job) => queue.waitsFor(job.id));
  await expect.poll(waits).toContain("label team=payments has its limit of 2 running · 1st in line");
  expect(waits()).toContain("label team=mail has its limit of 1 running · 2nd in line");
});

test("limits are there again after a restart, and so is what counts under them", async () => {
  await using temp = await openTempStore();
  const worker = candidate({ slots: 5 });
  const labels = { team: "ü \n/" };
  const limit = { labelKey: "team", labelValue: labels.team, mostRunning: 1 };
  {
    await using queue = await TestQueue.open(() => [worker], [], temp.store);
    await queue.setLimit(limit);
    await queue.startMany(2, { labels });
    await expect.poll(() => queue.dispatch.limitUses()).toMatchObject([{ running: 1, waiting: 1 }]);
  }
  await using queue = await TestQueue.open(() => [worker], [], temp.store);
  queue.dispatch.wake();
  await queue.dispatch.stop();
  expect(queue.dispatch.limitUses()).toMatchObject([{ limit: { ...limit, actor: operator }, running: 1, waiting: 1 }]);
});

test.each([
  [{}, "A limit is of a type or of a label: set one of `type` and `label_key`."],
  [{ type: "count", labelKey: "team" }, "A limit is of a type or of a label: set one of `type` and `label_key`."],
  [{ type: "count", labelValue: "x" }, "A limit of a type has no `label_value`."],
  [{ type: "Count it" }, "'Count it' is no job type: 1 to 60 of a-z 0-9 . _ -"],
  [{ type: "count", mostRunning: 1_000_001 }, "most_running is 1000001, at most 1000000 are allowed."],
])("a limit of %o is refused", async (limit, message) => {
  await using queue = await TestQueue.open(() => []);
  await expect(queue.setLimit(limit)).rejects.toThrow(message);
});
