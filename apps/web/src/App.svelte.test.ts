import axe from "axe-core";
import { Code, ConnectError } from "@connectrpc/connect";
import { EndOutcome, JobState, Level, LeverOutcome, ReceiptState, RunMode } from "@signalbox/protocol";
import { tick } from "svelte";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { page, userEvent } from "vitest/browser";
import { render } from "vitest-browser-svelte";
import App from "./App.svelte";
import { Session } from "./auth/session.svelte.ts";
import { jobRecord, runValue, speedValue } from "./jobs/samples.ts";
import { chunkEntry, gapEntry, numbered } from "./logs/samples.ts";
import { TestRoom } from "./test-room.ts";
import "./ui/tokens.css";
import "./ui/base.css";

let room: TestRoom;
let session: Session;
const started = location.pathname + location.search;
/** Waits for a condition; a busy machine may take its time. */
const until = <T>(condition: () => T) => vi.waitUntil(condition, { timeout: 10_000, interval: 20 });
const nowUs = () => BigInt(Date.now() * 1000);

beforeEach(async () => {
  await page.viewport(1440, 800);
  document.documentElement.style.height = document.body.style.height = "100%";
  document.documentElement.dataset["theme"] = "dark";
  room = new TestRoom();
  room.setTypes({
    type: {
      name: "index",
      description: "Walks a folder.",
      levers: ["run", "speed"],
      itemNoun: "files",
      defaultItemsPerSecond: 200,
      parametersSchema: {
        type: "object",
        required: ["folder"],
        properties: {
          folder: { type: "string", title: "Folder", minLength: 1, default: "." },
          minimumSize: { type: "integer", title: "Minimum size", minimum: 0, maximum: 500 },
        },
      },
    },
    workers: 1,
    slots: 4,
    slotsUsed: 1,
  });
  session = new Session();
});
afterEach(() => history.replaceState(null, "", started));

async function open(path: string): Promise<void> {
  history.replaceState(null, "", path);
  const target = document.createElement("div");
  target.style.height = "800px";
  document.body.append(target);
  await render(App, { target, props: { transport: room.transport, session } });
}

const attempts = [{ number: 1, workerId: "box-01", incarnation: "i", assignedAtUs: 1n, startedAtUs: 2n }];
const spec = (mode: RunMode, generation = 1n) => ({
  generation,
  levers: [
    { generation, value: runValue(mode) },
    { generation: 1n, value: speedValue(200) },
  ],
});
function running(id: string, more: Parameters<typeof jobRecord>[0] = {}) {
  return jobRecord({
    id,
    name: id,
    state: JobState.RUNNING,
    attempts,
    startedAtUs: nowUs() - 5_000_000n,
    spec: spec(RunMode.RUN),
    ...more,
  });
}
function receipt(mode: RunMode, state: ReceiptState, more: object = {}) {
  return { generation: 2n, value: runValue(mode), actor: { name: "ana" }, state, acceptedAtUs: nowUs(), ...more };
}
const row = (id: string) => document.querySelector(`tr[data-job="${id}"]`);
const words = (element: Element | null | undefined) => element?.textContent?.replaceAll(/\s+/g, " ").trim() ?? "";

async function faults(): Promise<string[]> {
  // A colour on its way is neither the old nor the new one; what breathes never arrives.
  const passing = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.allSettled(passing.map((each) => each.finished));
  const { violations } = await axe.run(document.body, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
  return violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary ?? ""}`),
  );
}

describe("the jobs page", () => {
  test("shows each job's state in words, and why it stands still", async () => {
    room.setJob(running("alpha"));
    room.setVitals({
      jobId: "alpha",
      attempt: 1,
      itemsDone: 25n,
      itemsTotal: 100n,
      itemsPerSecond: 12.4,
      itemNoun: "files",
      etaMs: 6000n,
    });
    room.setJob(jobRecord({ id: "beta", name: "beta", state: JobState.QUEUED }));
    room.setVitals({ jobId: "beta", waitsFor: "no free slot (4 of 4 busy)" });
    await open("/");
    await until(() => words(row("alpha")).includes("Running"));
    await until(() => words(row("alpha")).includes("25.0 % ETA 6.0 s · 25 of 100 files"));
    expect(words(row("alpha"))).toContain("12.4 /s");
    expect(words(row("beta"))).toContain("Waiting");
    expect(words(row("beta"))).toContain("waits: no free slot (4 of 4 busy)");
  });

  test("Pause shows 'Pausing' until the worker's report, then 'Paused'", async () => {
    room.setJob(running("alpha"));
    room.onCommand = () =>
      room.setJob(
        running("alpha", { spec: spec(RunMode.PAUSE, 2n), receipts: [receipt(RunMode.PAUSE, ReceiptState.ACCEPTED)] }),
      );
    await open("/");
    await until(() => row("alpha"));
    await userEvent.keyboard("jp");
    await until(() => words(row("alpha")).includes("Pausing"));
    expect(room.commands).toHaveLength(1);
    expect(room.commands[0]?.command).toMatchObject({
      ifGeneration: 1n,
      action: { case: "set", value: { value: { case: "run", value: { mode: RunMode.PAUSE } } } },
    });
    expect(room.commands[0]?.requestId).toMatch(/^[0-9a-f-]{36}$/);
    room.setJob(
      running("alpha", {
        state: JobState.PAUSED,
        spec: spec(RunMode.PAUSE, 2n),
        receipts: [receipt(RunMode.PAUSE, ReceiptState.APPLIED)],
      }),
    );
    await until(() => words(row("alpha")).includes("Paused"));
  });

  test("Cancel counts down, can be taken back, and acts at once when pressed again", async () => {
    room.setJob(running("alpha"));
    await open("/");
    await until(() => row("alpha"));
    await userEvent.keyboard("jc");
    await userEvent.click(page.getByRole("button", { name: "Undo" }));
    expect(room.commands).toHaveLength(0);
    await userEvent.keyboard("c");
    await userEvent.click(page.getByRole("button", { name: /Cancels in/ }));
    await until(() => room.commands.length === 1);
    expect(room.commands[0]?.command?.action).toMatchObject({
      value: { value: { value: { mode: RunMode.CANCEL, graceMs: 10_000 } } },
    });
  });

  test("a command that was refused is said in its row", async () => {
    room.setJob(running("alpha"));
    room.onCommand = () => {
      throw new ConnectError("The job has ended.", Code.FailedPrecondition);
    };
    await open("/");
    await until(() => row("alpha"));
    await userEvent.keyboard("jp");
    await until(() => words(row("alpha")).includes("alpha: Not paused. The job has ended."));
  });

  test("a stale click says who was first and changes nothing", async () => {
    room.setJob(running("alpha"));
    let refused = false;
    room.onCommand = () => {
      if (refused) return;
      refused = true;
      room.setJob(
        running("alpha", { spec: spec(RunMode.PAUSE, 2n), receipts: [receipt(RunMode.PAUSE, ReceiptState.ACCEPTED)] }),
      );
      throw new ConnectError("stale", Code.Aborted);
    };
    await open("/");
    await until(() => row("alpha"));
    await userEvent.keyboard("jp");
    await until(() => /Ana paused it .*before you\. Your click changed nothing\./.test(words(row("alpha"))));
    expect(room.commands).toHaveLength(1);
  });

  test("a click that another lever overtook still means what it meant", async () => {
    room.setJob(running("alpha"));
    let refused = false;
    room.onCommand = () => {
      if (refused) return;
      refused = true;
      room.setJob(
        running("alpha", {
          spec: {
            generation: 5n,
            levers: [
              { generation: 1n, value: runValue(RunMode.RUN) },
              { generation: 5n, value: speedValue(10) },
            ],
          },
        }),
      );
      throw new ConnectError("stale", Code.Aborted);
    };
    await open("/");
    await until(() => row("alpha"));
    await userEvent.keyboard("jp");
    await until(() => room.commands.length === 2);
    expect(room.commands[1]?.command?.ifGeneration).toBe(5n);
  });

  test("ten thousand jobs are a screen of rows", async () => {
    for (let index = 0; index < 10_000; index++) room.setJob(running(`job-${index}`));
    await open("/");
    await until(() => words(document.querySelector("nav[aria-label=Views]")).includes("Now 10,000"));
    expect(document.querySelectorAll("tr[data-job]").length).toBeLessThan(60);
    const scroll = page.getByRole("region", { name: /^Jobs/ }).element();
    scroll.scrollTop = 200_000;
    await until(() => Number(document.querySelector("tr[data-job]")?.getAttribute("aria-rowindex")) > 5_000);
    expect(document.querySelectorAll("tr[data-job]").length).toBeLessThan(60);
  });

  test("rows stand still while the pointer is among them; what is new waits to be shown", async () => {
    room.setJob(running("alpha"));
    await open("/");
    await until(() => row("alpha"));
    await userEvent.hover(page.getByRole("link", { name: "alpha" }));
    room.setJob(running("beta"));
    await userEvent.click(page.getByRole("button", { name: "1 new, show" }));
    await until(() => row("beta"));
  });

  test("a view is in the URL and shows only its jobs", async () => {
    room.setJob(running("alpha"));
    room.setJob(jobRecord({ id: "beta", name: "beta", state: JobState.QUEUED }));
    await open("/?view=waiting");
    await until(() => row("beta"));
    expect(row("alpha")).toBeNull();
    await userEvent.click(page.getByRole("link", { name: /^Running/ }));
    await until(() => row("alpha"));
    expect(location.search).toBe("?view=running");
  });

  test("the start form is made from the schema, says what is wrong, and opens the job", async () => {
    await open("/");
    await expect.element(page.getByText("The line is clear")).toBeVisible();
    await userEvent.keyboard("n");
    await userEvent.fill(page.getByLabelText(/Minimum size/), "900");
    await userEvent.click(page.getByRole("button", { name: "Start index" }));
    await expect.element(page.getByText("Minimum size must be 500 or less")).toBeVisible();
    await userEvent.fill(page.getByLabelText(/Minimum size/), "50");
    await userEvent.fill(page.getByLabelText("Folder"), "/srv/<b>");
    await userEvent.fill(page.getByLabelText(/Speed limit/), "12,5");
    await userEvent.click(page.getByRole("button", { name: "Start index" }));
    await until(() => location.pathname === "/jobs/started");
    expect(room.started[0]).toMatchObject({
      type: "index",
      parameters: { folder: "/srv/<b>", minimumSize: 50 },
      levers: [{ value: { case: "speed", value: { itemsPerSecond: 12.5 } } }],
    });
  });
});

describe("the job page", () => {
  test("the handle moves with the click, the lamp with the report", async () => {
    room.setJob(running("alpha"));
    let answer = () => {};
    const answered = new Promise<void>((resolve) => (answer = resolve));
    await open("/jobs/alpha");
    const run = () => words(document.querySelector('[role=group][aria-label^="Run"]'));
    await until(() => run().includes("Running"));
    room.onCommand = () => {
      void answered.then(() =>
        room.setJob(
          running("alpha", {
            spec: spec(RunMode.PAUSE, 2n),
            receipts: [receipt(RunMode.PAUSE, ReceiptState.DELIVERED, { deliveredAtUs: nowUs() })],
          }),
        ),
      );
    };
    await userEvent.keyboard("p");
    await until(() => room.commands.length === 1);
    answer();
    await until(() => run().includes("Pausing") && run().includes("worker still runs, no safe point yet"));
    expect(document.title).toBe("Pausing, alpha · Signalbox");
    room.setJob(
      running("alpha", {
        state: JobState.PAUSED,
        spec: spec(RunMode.PAUSE, 2n),
        receipts: [receipt(RunMode.PAUSE, ReceiptState.APPLIED, { attempt: 1, atLine: 3n, decidedAtUs: nowUs() })],
      }),
    );
    await until(() => run().includes("Paused") && run().includes("Resume"));
  });

  test("presses of + are gathered into one command", async () => {
    room.setJob(running("alpha"));
    await open("/jobs/alpha");
    await until(() => document.querySelector('[role=group][aria-label^="Speed"]'));
    // In one breath: the presses of a test's hand may lie farther apart than what is gathered.
    const faster = page.getByRole("button", { name: "Faster" }).element() as HTMLElement;
    faster.click();
    await tick();
    faster.click();
    await until(() => room.commands.length === 1);
    expect(room.commands[0]?.command?.action).toMatchObject({
      value: { value: { case: "speed", value: { itemsPerSecond: 1000 } } },
    });
  });

  test("a speed is typed exactly, or set to unlimited", async () => {
    room.setJob(running("alpha"));
    await open("/jobs/alpha");
    await userEvent.click(page.getByTitle("Type a speed"));
    await userEvent.fill(page.getByRole("textbox", { name: /per second/ }), "12.5");
    await userEvent.keyboard("{Enter}");
    await until(() => room.commands.length === 1);
    expect(room.commands[0]?.command?.action).toMatchObject({ value: { value: { value: { itemsPerSecond: 12.5 } } } });
    await userEvent.click(page.getByTitle("Type a speed"));
    await userEvent.click(page.getByRole("button", { name: "Unlimited" }));
    await until(() => room.commands.length === 2);
    expect(room.commands[1]?.command?.action).toMatchObject({ value: { value: { case: "speed" } } });
  });

  test("while the page is not live, levers do not move and the content stays", async () => {
    room.setJob(running("alpha"));
    room.append([numbered(1, 21)]);
    await open("/jobs/alpha");
    await until(() => document.querySelector('[data-key="l20"]'));
    room.cut();
    await expect.element(page.getByText("Not live", { exact: true })).toBeVisible();
    await userEvent.keyboard("p");
    const pause = page.getByRole("button", { name: "Pause" }).element() as HTMLElement;
    pause.click();
    expect(pause.title).toMatch(/^Not live/);
    expect(room.commands).toHaveLength(0);
    expect(document.querySelector('[data-key="l20"]')).not.toBeNull();
    await expect.element(page.getByText(/No word from the server/)).toBeVisible();
    const tryNow = page.getByRole("button", { name: "Try now" }).element() as HTMLElement;
    room.mend();
    tryNow.click();
    await expect.element(page.getByText("Live", { exact: true })).toBeVisible();
  });

  test("attempts are switched back and forth, and a retry is shown at once", async () => {
    const first = { ...attempts[0], endedAtUs: nowUs(), end: { outcome: EndOutcome.FAILED, exitCode: 1 } };
    room.setJob(running("alpha", { state: JobState.FAILED, attempts: [first] }));
    room.append([numbered(1, 21)]);
    await open("/jobs/alpha");
    await until(() => document.querySelector(".chip")?.textContent?.includes("exit 1"));
    room.setJob(running("alpha", { attempts: [first, { ...attempts[0], number: 2 }] }));
    await until(() => document.querySelector(".chip")?.textContent?.includes("Following"));
    for (const [number, chip] of [
      ["1", "exit 1"],
      ["2", "Following"],
      ["1", "exit 1"],
    ] as const) {
      await userEvent.selectOptions(page.getByRole("combobox", { name: /attempt/ }), number);
      await until(() => document.querySelector(".chip")?.textContent?.includes(chip));
      await until(() => document.querySelector('[data-key="l20"] .text')?.textContent === "line 20");
      expect(location.search).toBe(number === "2" ? "" : "?attempt=1");
    }
  });

  test("an unknown job says so", async () => {
    await open("/jobs/nobody");
    await expect.element(page.getByText("There is no such job.")).toBeVisible();
  });

  test("a session that is over leads to the page that tells how to get a link", async () => {
    room.setJob(running("alpha"));
    await open("/jobs/alpha");
    await until(() => document.querySelector("[role=group]"));
    session.refuse();
    await expect.element(page.getByText(/npm run link/)).toBeVisible();
  });
});

describe.each(["dark", "light"])("axe finds nothing in %s", (theme) => {
  beforeEach(() => {
    document.documentElement.dataset["theme"] = theme;
  });
  const levels = [Level.TRACE, Level.DEBUG, Level.INFO, Level.WARN, Level.ERROR, Level.FATAL].map((level) => ({
    text: `\u001b[3${level}mlevel ${level}\u001b[0m text\n`,
    level,
  }));

  test("on jobs in every state", async () => {
    room.setJob(running("alpha", { labels: { team: "search" } }));
    room.setVitals({
      jobId: "alpha",
      attempt: 1,
      itemsDone: 25n,
      itemsTotal: 100n,
      levelCounts: [0n, 0n, 0n, 0n, 0n, 3n, 0n],
    });
    room.setJob(running("pausing", { spec: spec(RunMode.PAUSE, 2n) }));
    room.setJob(running("cancelling", { spec: spec(RunMode.CANCEL, 2n) }));
    room.setJob(running("paused", { state: JobState.PAUSED, spec: spec(RunMode.PAUSE, 2n) }));
    room.setJob(running("lost", { state: JobState.LOST }));
    room.setJob(jobRecord({ id: "failed", name: "failed", state: JobState.FAILED, endedAtUs: nowUs() }));
    room.setJob(jobRecord({ id: "done", name: "done", state: JobState.SUCCEEDED, endedAtUs: nowUs() }));
    await open("/");
    await until(() => row("done"));
    await userEvent.keyboard("j");
    expect(await faults()).toEqual([]);
    await userEvent.keyboard("n");
    await expect.element(page.getByRole("dialog")).toBeVisible();
    expect(await faults()).toEqual([]);
  });

  test("on no jobs at all", async () => {
    await open("/");
    await expect.element(page.getByText("The line is clear")).toBeVisible();
    expect(await faults()).toEqual([]);
  });

  test("on a running job with markers, gaps and colours, live and not", async () => {
    room.setJob(
      running("alpha", {
        spec: spec(RunMode.PAUSE, 2n),
        attempts: [
          {
            ...attempts[0],
            levers: [{ generation: 2n, value: runValue(RunMode.PAUSE), outcome: LeverOutcome.APPLIED, atLine: 3n }],
          },
        ],
        receipts: [receipt(RunMode.PAUSE, ReceiptState.APPLIED, { attempt: 1, atLine: 3n, decidedAtUs: nowUs() })],
      }),
    );
    room.setVitals({ jobId: "alpha", attempt: 1, itemsDone: 25n, itemsTotal: 100n });
    room.append([chunkEntry(1, levels), gapEntry(7, 13), numbered(20, 100)]);
    await open("/jobs/alpha?line=4-5");
    await until(() => document.querySelector(".row.marked"));
    await until(() => document.querySelector(".row.gap"));
    expect(await faults()).toEqual([]);
    room.cut();
    await expect.element(page.getByText(/No word from the server/)).toBeVisible();
    expect(await faults()).toEqual([]);
  });

  test("on an ended job on a phone", async () => {
    await page.viewport(360, 740);
    room.setJob(
      jobRecord({
        id: "alpha",
        name: "alpha",
        state: JobState.FAILED,
        endedAtUs: nowUs(),
        startedAtUs: nowUs(),
        attempts: [
          {
            ...attempts[0],
            endedAtUs: nowUs(),
            end: { outcome: EndOutcome.FAILED, exitCode: 137, reason: "out of memory" },
          },
        ],
      }),
    );
    room.append([chunkEntry(1, levels)]);
    await open("/jobs/alpha");
    await until(() => document.querySelector('[data-key="l1"]'));
    expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
    expect(await faults()).toEqual([]);
    await userEvent.click(page.getByRole("button", { name: "Levers" }));
    await expect.element(page.getByRole("dialog")).toBeVisible();
    expect(await faults()).toEqual([]);
  });
});
