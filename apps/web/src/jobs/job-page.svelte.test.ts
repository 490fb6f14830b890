import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { HoldSchema, JobState, LeverOutcome, ReceiptState, RunMode } from "@signalbox/protocol";
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

test("what is said in place of lines covers no marker", async () => {
  const value = runValue(RunMode.PAUSE);
  const paused = { generation: 2n, value, outcome: LeverOutcome.APPLIED, atLine: 1n };
  room.setJob(
    running({
      state: JobState.PAUSED,
      spec: { generation: 2n, levers: [{ generation: 2n, value }] },
      attempts: [{ number: 1, workerId: "box-01", assignedAtUs: beganUs, startedAtUs: beganUs, levers: [paused] }],
      receipts: [
        {
          ...{ generation: 2n, value, state: ReceiptState.APPLIED, actor: { name: "ana" }, requestId: "ana-1" },
          ...{ acceptedAtUs: nowUs(), decidedAtUs: nowUs(), attempt: 1, atLine: 1n },
        },
      ],
    }),
  );
  await openApp(room, "/jobs/alpha");
  const marker = await until(() => document.querySelector(".row.marker"));
  const { bottom = 0 } = marker?.getBoundingClientRect() ?? {};
  expect(document.querySelector(".waiting")?.getBoundingClientRect().top).toBeGreaterThan(bottom);
});

test("beside several attempts the head names the worker, down to 768 px", async () => {
  const workerId = "ip-10-0-3-17.eu-west-1.compute";
  const each = { workerId, assignedAtUs: beganUs, startedAtUs: beganUs };
  const name = "nightly-index-of-all-customers-and-orders";
  room.setJob(running({ name, attempts: [1, 2, 3].map((number) => ({ ...each, number })) }));
  await openApp(room, "/jobs/alpha", 768);
  const link = (await page.getByRole("link", { name: workerId }).findElement()).getBoundingClientRect();
  const shown = document.querySelector(".head .facts")?.getBoundingClientRect();
  expect(Math.min(link.right, shown?.right ?? 0) - link.left).toBeGreaterThan(80);
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
  // The end of the log is on the screen: there is a bucket before it.
  await until(() => spoken().includes("· 300 lines · 3 errors"));
  (strip.element() as HTMLElement).focus();
  await userEvent.keyboard("{ArrowLeft}");
  await until(() => spoken().includes("· 100 lines"));
  await userEvent.keyboard("{ArrowRight}");
  await until(() => spoken().includes("· 300 lines · 3 errors"));
  expect(await axeFaults()).toEqual([]);
});

test("the strip's table is there only to be read out: the page is no taller for it", async () => {
  room.append([numbered(1, 401)]);
  const buckets = Array.from({ length: 40 }, (_, at) => ({
    firstLine: BigInt(1 + at * 10),
    levelCounts: [0, 0, 0, 10],
  }));
  room.histogram = { fromUs: beganUs, bucketUs: 1_000_000n, buckets };
  room.setJob(running());
  await openApp(room, "/jobs/alpha");
  await until(() => document.querySelectorAll(".strip tbody tr").length === 40);
  expect(document.documentElement.scrollHeight).toBe(document.documentElement.clientHeight);
});

/** A minute of a job: 100 lines, nothing, 300 lines with 3 errors, 100 lines, two seconds each. */
function openStrip(width?: number, path = "/jobs/alpha") {
  room.append([numbered(1, 501)]);
  const bucket = (firstLine: number, lines: number, errors: number) => ({
    firstLine: BigInt(firstLine),
    levelCounts: [0, 0, 0, lines - errors, 0, errors, 0],
  });
  room.histogram = {
    fromUs: beganUs,
    bucketUs: 2_000_000n,
    buckets: [bucket(1, 100, 0), {}, bucket(101, 300, 3), bucket(401, 100, 0)],
  };
  room.setJob(running());
  return openApp(room, path, width);
}
const strip = () => page.getByRole("slider", { name: "Lines over time" });
const plain = (text: string | null | undefined) => text?.replaceAll("\u00a0", " ") ?? "";
const span = () => new URLSearchParams(location.search).get("span");
/** Numbers of the first and the last line on the screen. */
const shownLines = () => {
  const log = document.querySelector("[role=log]");
  if (!log) return [];
  const box = log.getBoundingClientRect();
  const rows = [...log.querySelectorAll<HTMLElement>(".row.line:not(.held)")].filter((row) => {
    const { top, bottom } = row.getBoundingClientRect();
    return bottom > box.top + 1 && top < box.bottom - 1;
  });
  return [rows[0], rows.at(-1)].map((row) => Number(row?.dataset["line"]));
};
/** Where a second of the job is on the strip, by its first two bars. */
const secondAt = (second: number) => {
  const bars = document.querySelector(".strip .lines")?.getAttribute("d") ?? "";
  const [zero = 0, four = 0] = [...bars.matchAll(/M([\d.]+)/g)].map(([, x]) => Number(x));
  return { x: zero + ((four - zero) * second) / 4, y: 30 };
};
const drag = (from: number, to: number) =>
  userEvent.dragAndDrop(strip(), strip(), { sourcePosition: secondAt(from), targetPosition: secondAt(to) });
const heading = () => plain(words(document.querySelector(".strip .legend")));

test("a drag on the strip leaves the lines of its time, names them, holds the end back, and is taken away by its chip", async () => {
  await openStrip();
  await until(() => heading() === "lines in 2 s, peak 300");
  await drag(3, 5.5);
  await until(() => shownLines()[0] === 101);
  expect(span()).toMatch(/^\d{8}T\d{6}Z-\d{8}T\d{6}Z$/);
  expect(new URLSearchParams(location.search).get("attempt")).toBe("1");
  const tools = () => plain(words(document.querySelector(".tools")));
  await until(() => /time\d\d:\d\d:\d\d – \d\d:\d\d:\d\d 300 lines · 3 errors · following paused/.test(tools()));
  await expect.element(page.getByText("Lines 101 – 400 of 500")).toBeVisible();
  await until(() =>
    plain(words(document.querySelector("p[role=status]"))).includes("300 lines · 3 errors. Following is paused."),
  );
  // What is outside is shaded; to the end of the span and no further.
  expect(document.querySelectorAll(".strip .span .outside")).toHaveLength(2);
  await userEvent.keyboard(
    "{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}{PageDown}",
  );
  await until(() => shownLines()[1] === 400);
  room.append([numbered(501, 601)]);
  await until(() => words(document.querySelector(".status .chip")).includes("100 new"));
  expect(shownLines()[1]).toBe(400);
  const top = shownLines()[0];
  expect(await axeFaults()).toEqual([]);

  await userEvent.click(page.getByRole("button", { name: /^Remove time/ }));
  await until(() => span() === null && (shownLines()[1] ?? 0) >= 400);
  // The line that was read stays where it is.
  expect(shownLines()[0]).toBe(top);
  expect(location.search).toBe("");
  await until(() => words(document.querySelector("p[role=status]")) === "All lines are shown again.");
});

test("a span that is not over yet holds the end back, too: what comes to it is below what is read", async () => {
  await openStrip();
  await until(() => heading() === "lines in 2 s, peak 300" && shownLines()[1] === 500);
  const top = shownLines()[0];
  await drag(6.2, 7.6);
  const tools = () => plain(words(document.querySelector(".tools")));
  await until(() => tools().includes("100 lines so far · following paused"));
  await until(() => words(document.querySelector(".status .chip")).startsWith("Reading"));
  await expect.element(page.getByText("Lines 401 – 500 of 500")).toBeVisible();
  room.append([numbered(501, 551)]);
  await expect.element(page.getByText("Lines 401 – 550 of 550")).toBeVisible();
  expect(shownLines()[0]).toBe(top);
});

test("a line that is marked stays where it was, and what was read around it", async () => {
  await openStrip();
  await until(() => shownLines()[1] === 500);
  await userEvent.keyboard("{Home}");
  await until(() => shownLines()[0] === 1);
  await userEvent.click(page.getByRole("link", { name: "7", exact: true }));
  await until(() => location.search === "?line=7");
  await until(() => document.querySelector(".row.marked")?.getAttribute("data-key") === "l7");
  room.append([numbered(501, 601)]);
  await until(() => words(document.querySelector(".status .chip")).includes("100 new"));
  expect(shownLines()[0]).toBe(1);
});

test("a click on the strip still jumps: inside of a span it stays set, outside it goes", async () => {
  await openStrip();
  await until(() => heading() === "lines in 2 s, peak 300");
  await strip().click({ position: secondAt(4.5) });
  await until(() => (shownLines()[0] ?? 0) > 130 && (shownLines()[0] ?? 0) < 180);
  expect(span()).toBeNull();
  await drag(4.2, 5.8);
  await until(() => span() !== null && shownLines()[0] !== undefined);
  await strip().click({ position: secondAt(5.5) });
  await until(() => (shownLines()[0] ?? 0) > 280);
  expect(span()).not.toBeNull();
  await strip().click({ position: secondAt(0) });
  await until(() => shownLines()[0] === 1);
  expect(span()).toBeNull();
});

test("Shift and the arrows begin a span and make it wider, Escape takes it away, and End follows again", async () => {
  await openStrip();
  await until(() => heading() === "lines in 2 s, peak 300");
  await strip().click({ position: secondAt(4.1) });
  await until(() => (shownLines()[0] ?? 0) < 130);
  (strip().element() as HTMLElement).focus();
  await userEvent.keyboard("{Shift>}{ArrowRight}{/Shift}");
  // What is marked is read out at once.
  await until(() => heading().endsWith("300 lines · 3 errors"));
  await until(() => span() !== null);
  const first = span();
  await userEvent.keyboard("{Shift>}{ArrowRight}{/Shift}");
  await until(() => plain(words(document.querySelector(".tools"))).includes("400 lines · 3 errors"));
  expect(span()?.split("-")[0]).toBe(first?.split("-")[0]);
  await userEvent.keyboard("{Shift>}{ArrowLeft}{/Shift}");
  await until(() => plain(words(document.querySelector(".tools"))).includes("500 lines · 3 errors"));
  await userEvent.keyboard("{Escape}");
  await until(() => span() === null);
  expect(words(document.querySelector(".tools"))).not.toContain("500");
  expect(document.activeElement).toBe(strip().element());

  await userEvent.keyboard("{Shift>}{ArrowRight}{/Shift}");
  await until(() => span() !== null);
  await userEvent.keyboard("{End}");
  await until(() => span() === null && words(document.querySelector(".status .chip")).startsWith("Following"));
  expect(shownLines()[1]).toBe(500);
});

test("a URL with a span shows its lines alone, one without lines says so, and nothing scrolls sideways at 360 px", async () => {
  const moment = (seconds: number) =>
    new Date(Number(beganUs) / 1000 + seconds * 1000).toISOString().slice(0, 19).replaceAll(/[-:]/g, "") + "Z";
  await openStrip(360, `/jobs/alpha?span=${moment(4)}-${moment(8)}&line=450`);
  await until(() => plain(document.querySelector(".tools")?.textContent).includes("400 lines · 3 errors"));
  await until(() => document.querySelector(".row.marked")?.getAttribute("data-key") === "l450");
  const wide = () =>
    [document.documentElement, ...document.querySelectorAll("main, .tools, .pane, .strip")].filter(
      (each) => each.scrollWidth > 360,
    );
  expect(wide()).toEqual([]);
  const remove = page.getByRole("button", { name: /^Remove time/ });
  expect(remove.element().getBoundingClientRect().right).toBeLessThanOrEqual(360);
  expect(await axeFaults()).toEqual([]);
  await userEvent.click(remove);
  await until(() => span() === null);
  history.replaceState(null, "", `/jobs/alpha?span=${moment(2)}-${moment(4)}`);
  window.dispatchEvent(new PopStateEvent("popstate"));
  await expect.element(page.getByText("No line was printed in this time.")).toBeVisible();
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
  await until(() => details().includes("try 2 of 5"));
  expect(details()).toContain("10 m 00 s an attempt, stands while paused");
  await until(() => details().includes("usually within 0.4 s"));
  expect(details()).toMatch(/Results so far words 1204 ?top\.the 9/);
  await until(() => words(lever("Run")).includes("pauses within 0.4 s"));
  await userEvent.click(page.getByRole("button", { name: "Copy as CLI" }).first());
  await expect.element(page.getByText("signalbox cancel alpha --grace 10s")).toBeVisible();
  expect(await axeFaults()).toEqual([]);
});
