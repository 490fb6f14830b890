import { EndOutcome, JobState } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { page, userEvent } from "vitest/browser";
import { chunkEntry, numbered } from "../logs/samples.ts";
import { axeFaults, openApp, until, words } from "../test-app.ts";
import { TestRoom } from "../test-room.ts";
import { jobRecord } from "./samples.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
const note = () => words(document.querySelector("aside.late"));
const rows = () => [...document.querySelectorAll<HTMLElement>(".row.line")].map((row) => row.dataset["key"]);
const us = (ms: number) => BigInt(Math.round(ms)) * 1000n;

/** A job whose first attempt was given up a minute ago, after line 20. */
function givenUp(late: { firstLine?: bigint; end?: { outcome: EndOutcome; exitCode: number; atUs: bigint } }[] = []) {
  const at = Date.now();
  const attempt = {
    number: 1,
    workerId: "box-01",
    startedAtUs: us(at - 90_000),
    endedAtUs: us(at - 60_000),
    end: { outcome: EndOutcome.GIVEN_UP, endLine: 21n, reason: "given up by ana" },
  };
  room.setJob(
    jobRecord({
      id: "alpha",
      name: "alpha",
      state: JobState.FAILED,
      attempts: [attempt],
      endedAtUs: us(at - 60_000),
      late: late.map((each) => ({ attempt: 1, atUs: us(at - 30_000), ...each })),
    }),
  );
}

beforeEach(() => {
  room = new TestRoom();
  room.append([numbered(1, 21)]);
});
afterEach(() => history.replaceState(null, "", started));

test("below the log of an attempt that was given up stands how many lines came after that, and how it ended in truth", async () => {
  givenUp();
  await openApp(room, "/jobs/alpha");
  await until(() => rows().includes("l20"));
  expect(document.querySelector("aside.late")).toBeNull();
  room.appendLate([chunkEntry(21, ["late 21\n", "late 22\n"])]);
  givenUp([{ firstLine: 21n }]);
  await until(() => note() === "2 lines came after the attempt was given up. Show them");
  room.appendLate([chunkEntry(23, ["late 23\n"])]);
  givenUp([{ firstLine: 21n, end: { outcome: EndOutcome.SUCCEEDED, exitCode: 0, atUs: us(Date.now()) } }]);
  await until(() =>
    /^3 lines came after the attempt was given up\. The process ended with exit code 0 at \d\d:\d\d:\d\d\. Show them$/.test(
      note(),
    ),
  );
  expect(rows().at(-1)).toBe("l20");
});

test("'Show' opens the late lines with their own numbers, title and file, and there is a way back", async () => {
  givenUp([{ firstLine: 21n }]);
  room.appendLate([
    chunkEntry(
      21,
      Array.from({ length: 30 }, (_, index) => `late ${21 + index}\n`),
    ),
  ]);
  await openApp(room, "/jobs/alpha");
  await userEvent.click(page.getByRole("button", { name: "Show them" }));
  await expect.element(page.getByRole("log", { name: "Late lines of alpha, attempt 1" })).toBeVisible();
  expect(location.search).toBe("?late=shown");
  await until(() => rows().at(-1) === "l50");
  expect(words(document.querySelector(".late p"))).toMatch(
    /^Late lines of attempt 1\. They came from \d\d:\d\d:\d\d on, after the attempt was given up, and are no part of its log\.$/,
  );
  await until(() => words(document.querySelector(".status")).startsWith("Lines 21 – 50 complete"));
  expect(document.querySelector("a.download")?.getAttribute("href")).toBe("/jobs/alpha/attempts/1/log/late");
  // It begins where the attempt's log ends: nothing is above.
  await userEvent.keyboard("{Home}");
  await until(() => rows()[0] === "l21" && document.querySelector(".row.away") === null);
  await userEvent.keyboard(":");
  await userEvent.fill(page.getByRole("textbox", { name: "Line" }), "3");
  await userEvent.keyboard("{Enter}");
  await expect.element(page.getByText("a line number, 21 or more")).toBeVisible();
  await userEvent.keyboard("{Escape}");
  expect(await axeFaults()).toEqual([]);
  await userEvent.click(page.getByRole("button", { name: "Back to its log" }));
  await expect.element(page.getByRole("log", { name: "Log of alpha, attempt 1" })).toBeVisible();
  await until(() => rows().at(-1) === "l20");
  expect(location.search).toBe("");
});

test("a link to late lines opens them; where there are none it opens the log", async () => {
  givenUp();
  await openApp(room, "/jobs/alpha?late=shown");
  await until(() => rows().at(-1) === "l20");
  room.appendLate([chunkEntry(21, ["late 21\n"])]);
  givenUp([{ firstLine: 21n }]);
  await until(() => rows().join() === "l21");
});

test("a worker's late word without lines is said, and there is nothing to show", async () => {
  givenUp([{ end: { outcome: EndOutcome.FAILED, exitCode: 3, atUs: us(Date.now()) } }]);
  await openApp(room, "/jobs/alpha");
  await until(() => /^The process ended with exit code 3 at .*, after the attempt was given up\.$/.test(note()));
});
