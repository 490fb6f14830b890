import { GapCause, JobState, WorkerLinkState } from "@signalbox/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { page, userEvent } from "vitest/browser";
import { gapEntry, marked, numbered } from "../logs/samples.ts";
import { axeFaults, openApp, until, words } from "../test-app.ts";
import { TestRoom } from "../test-room.ts";
import { jobRecord } from "./samples.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
/** What Details say under a name. */
const fact = (name: string) => {
  const term = [...document.querySelectorAll("#panel-details dt")].find((each) => words(each) === name);
  return words(term?.nextElementSibling);
};
const attempts = [{ number: 1, workerId: "box-01", assignedAtUs: 1n, startedAtUs: 2n }];
const link = {
  state: WorkerLinkState.CONNECTED,
  heardAtUs: BigInt(Date.now() * 1000),
  roundTripUs: 2_100,
  bufferedBytes: 912_000_000n,
  spoolBytes: 910_000_000n,
  spoolLimitBytes: 1_073_741_824n,
  reconnects: 3,
  lastBreak: "no answer to a ping for 10 s",
  address: "room.example:9090",
};

beforeEach(() => {
  room = new TestRoom();
  room.setJob(jobRecord({ id: "alpha", name: "alpha", state: JobState.RUNNING, attempts, startedAtUs: 2n }));
});
afterEach(() => history.replaceState(null, "", started));

async function openDetails(width = 1440) {
  await openApp(room, "/jobs/alpha", width);
  await userEvent.click(page.getByRole("tab", { name: "Details" }));
}

test("the worker's link is told in words: how it is heard, where to, how often it broke and why, and what waits", async () => {
  room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: 1n, link });
  await openDetails();
  await until(() => /^connected, heard [\d.]+ s ago$/.test(fact("Link")));
  expect(fact("Server")).toBe("room.example:9090");
  expect(fact("Reconnects")).toBe("lost its link 3 times: no answer to a ping for 10 s");
  expect(fact("Buffered")).toBe("912 MB");
  expect(fact("Spool")).toBe("910 MB of 1.1 GB, 84.8 %: when it is full, jobs wait or lines are dropped");
  const meter = document.querySelector("[role=meter]");
  expect([meter?.getAttribute("aria-valuenow"), meter?.closest("dd")?.dataset["tone"]]).toEqual(["84", "wait"]);
  room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: 2n, link: { ...link, spoolBytes: 300_000_000n } });
  await until(() => fact("Spool") === "300 MB of 1.1 GB, 27.9 %");
  expect(document.querySelector("[role=meter]")?.closest("dd")?.dataset["tone"]).toBeUndefined();
  expect(await axeFaults()).toEqual([]);
});

test("a worker without a spool that never lost its link says so; one that is silent says what it said last", async () => {
  const silent = { ...link, spoolLimitBytes: 0n, spoolBytes: 0n, bufferedBytes: 1_200n, reconnects: 0, lastBreak: "" };
  room.setVitals({
    jobId: "alpha",
    attempt: 1,
    asOfUs: 1n,
    link: { ...silent, state: WorkerLinkState.SILENT, heardAtUs: BigInt((Date.now() - 11_000) * 1000) },
  });
  await openDetails();
  await until(() => /^silent for 1[1-4] s, lost in [1-4] s$/.test(fact("Link")));
  expect(fact("Reconnects")).toBe("never lost its link");
  expect(fact("Buffered")).toBe("was 1.2 kB");
  expect(fact("Spool")).toBe("");
});

test("while the page is not live it tells how the link was", async () => {
  room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: 1n, link });
  await openDetails();
  await until(() => fact("Link").startsWith("connected"));
  room.cut();
  await until(() => fact("Link") === "was connected" && fact("Buffered") === "was 912 MB");
});

test("secrets that were masked are counted, and what is missing has its exact extent and leads there", async () => {
  const entries = marked(
    numbered(1, 101),
    gapEntry(101, 13),
    numbered(114, 301),
    gapEntry(301, 1, GapCause.SPOOL_CORRUPT, "segment 7"),
    numbered(302, 401),
  );
  room.append(entries);
  room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: 1n, lines: 400n, missingLines: 14n, redactions: 3n });
  await openDetails();
  await until(() => fact("Secrets") === "3 secrets masked");
  await until(() => fact("Missing").startsWith("14 lines in 2 gaps"));
  expect(fact("Missing")).toContain("101 – 113: the worker's spool was full, its oldest DEBUG lines were dropped");
  expect(fact("Missing")).toContain("301: a part of the worker's spool was damaged and set aside: segment 7");
  await userEvent.click(page.getByRole("button", { name: "101 – 113" }));
  await until(() => document.querySelector('[data-key="g101"]'));
  expect(words(document.querySelector('[data-key="g101"]'))).toMatch(/^13 lines missing ?101 – 113/);
  await userEvent.click(page.getByRole("button", { name: "2 gaps of 14 lines" }));
  await until(() => document.querySelector('[data-key="g301"]'));
});

for (const width of [1440, 390])
  test(`a job that stands for its worker's spool says so beside its state (${width} px)`, async () => {
    room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: 1n, stalledBy: "waiting for the log spool", link });
    await openApp(room, "/jobs/alpha", width);
    const state = () => [...document.querySelectorAll(".head [role=status]")].map(words).join(", ");
    await until(() => state() === "Running, waiting for the log spool");
    await expect.element(page.getByText("waiting for the log spool", { exact: true })).toBeVisible();
    expect(await axeFaults()).toEqual([]);
    room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: 2n, link });
    await until(() => state() === "Running, ");
  });
