import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { HoldSchema, JobState, ReceiptState, RunMode } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { page, userEvent } from "vitest/browser";
import { numbered } from "../logs/samples.ts";
import { axeFaults, openApp, until, words } from "../test-app.ts";
import { TestRoom } from "../test-room.ts";
import { jobRecord, runValue } from "./samples.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
const nowUs = () => BigInt(Date.now() * 1000);
const lever = (name: string) => document.querySelector(`[role=group][aria-label^="${name}"]`);
const beganUs = BigInt(Math.floor(Date.now() / 1000) - 60) * 1_000_000n;
const attempts = [{ number: 1, workerId: "box-01", assignedAtUs: beganUs, startedAtUs: beganUs }];
const running = (more: Parameters<typeof jobRecord>[0] = {}) =>
  jobRecord({ id: "alpha", name: "alpha", state: JobState.RUNNING, attempts, startedAtUs: beganUs, ...more });

beforeEach(() => {
  room = new TestRoom();
});
afterEach(() => history.replaceState(null, "", started));

test("where somebody was faster the lever says who, and offers the choice again", async () => {
  room.setJob(running());
  await openApp(room, "/jobs/alpha");
  await until(() => lever("Run"));
  const theirs = running({
    state: JobState.RUNNING,
    spec: { generation: 2n, levers: [{ generation: 2n, value: runValue(RunMode.PAUSE) }] },
    receipts: [
      {
        generation: 2n,
        value: runValue(RunMode.PAUSE),
        state: ReceiptState.ACCEPTED,
        actor: { name: "raj" },
        requestId: "raj-1",
        acceptedAtUs: nowUs() - 400_000n,
      },
    ],
  });
  let refused = 0;
  room.onCommand = () => {
    if (refused++ > 0) return;
    room.setJob(theirs);
    throw new ConnectError("raj moved the run lever since you looked.", Code.Aborted);
  };
  await userEvent.keyboard("c");
  await until(() => words(lever("End")).includes("Cancels in"));
  await userEvent.keyboard("{Enter}");
  await until(() => /Raj paused it .* before you\. Your click changed nothing\./.test(words(lever("End"))));
  await expect.element(page.getByRole("button", { name: "Leave it" })).toBeVisible();
  expect(await axeFaults()).toEqual([]);
  await userEvent.click(page.getByRole("button", { name: "Cancel anyway" }));
  await until(() => room.commands.length === 2);
  expect(room.commands[1]?.command?.ifGeneration).toBe(2n);
  await until(() => !words(lever("End")).includes("before you"));
});

test("the strip names its peak and bucket, reads a bucket out, leads to its lines, and has a table", async () => {
  const bucket = (firstLine: number, lines: number, errors: number) => ({
    firstLine: BigInt(firstLine),
    levelCounts: [0, 0, 0, lines - errors, 0, errors, 0],
  });
  room.append([numbered(1, 401)]);
  room.histogram = {
    fromUs: beganUs,
    bucketUs: 2_000_000n,
    buckets: [bucket(1, 100, 0), {}, bucket(101, 300, 3)],
  };
  room.setJob(running());
  await openApp(room, "/jobs/alpha");
  await until(() => words(document.querySelector(".strip .legend")) === "lines in 2 s, peak 300");
  const strip = page.getByRole("slider", { name: "Lines over time" });
  expect([...document.querySelectorAll(".strip tbody tr")].map((row) => words(row.lastElementChild))).toEqual([
    "0",
    "3",
  ]);
  const spoken = () => strip.element().getAttribute("aria-valuetext")?.replaceAll("\u00a0", " ") ?? "";
  (strip.element() as HTMLElement).focus();
  await userEvent.keyboard("{ArrowLeft}");
  await until(() => spoken().includes("· 100 lines"));
  await userEvent.keyboard("{ArrowRight}");
  await until(() => spoken().includes("· 300 lines · 3 errors"));
  expect(await axeFaults()).toEqual([]);
});

test("deadline, retries, safe point and results are told, and everything is to be had as a command line", async () => {
  room.setJob(
    running({
      deadline: { afterMs: 600_000n },
      retry: { mostAttempts: 5 },
      tries: 2,
      spec: {
        generation: 2n,
        levers: [
          { generation: 1n, value: runValue(RunMode.RUN) },
          { generation: 2n, value: runValue(RunMode.RUN), hold: create(HoldSchema) },
        ],
      },
    }),
  );
  room.setVitals({
    jobId: "alpha",
    attempt: 1,
    asOfUs: 1n,
    safePointMs: 400n,
    results: { words: 1_204, top: { the: 9 } },
  });
  await openApp(room, "/jobs/alpha");
  await userEvent.click(page.getByRole("tab", { name: "Details" }));
  const details = () => words(document.querySelector("#panel-details"));
  await until(() => details().includes("attempt 2 of 5"));
  expect(details()).toContain("10 m 00 s an attempt, stands while paused");
  expect(details()).toContain("usually within 0.4 s");
  expect(details()).toMatch(/Results so far words 1204 ?top\.the 9/);
  await until(() => words(lever("Run")).includes("pauses within 0.4 s"));
  await userEvent.click(page.getByRole("button", { name: "Copy as CLI" }).first());
  await expect.element(page.getByText("signalbox cancel alpha --grace 10s")).toBeVisible();
  expect(await axeFaults()).toEqual([]);
});
