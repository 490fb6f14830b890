import { create } from "@bufbuild/protobuf";
import axe from "axe-core";
import { Code, ConnectError } from "@connectrpc/connect";
import {
  EndOutcome,
  HoldSchema,
  JobState,
  Level,
  LeverOutcome,
  ReceiptState,
  RunMode,
  WorkerLinkState,
  type LeverValue,
} from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { page, userEvent } from "vitest/browser";
import { render } from "vitest-browser-svelte";
import App from "../App.svelte";
import { Session } from "../auth/session.svelte.ts";
import { chunkEntry } from "../logs/samples.ts";
import { TestRoom } from "../test-room.ts";
import "../ui/tokens.css";
import "../ui/base.css";
import { logLevelValue } from "./log-level.ts";
import { parametersValue } from "./parameters.ts";
import { priorityValue } from "./priority.ts";
import { jobRecord, runValue } from "./samples.ts";

let room: TestRoom;
const started = location.pathname + location.search;
/** Waits for a condition; a busy machine may take its time. */
const until = <T>(condition: () => T) => vi.waitUntil(condition, { timeout: 10_000, interval: 20 });
const nowUs = () => BigInt(Date.now() * 1000);
const words = (element: Element | null | undefined) => element?.textContent?.replaceAll(/\s+/g, " ").trim() ?? "";
const lever = (name: string) => document.querySelector(`[role=group][aria-label^="${name}"]`);
const note = (name: string) => words(lever(name)?.querySelector(".note"));

const schema = {
  type: "object",
  required: ["retries"],
  properties: {
    retries: { type: "integer", title: "Retries", minimum: 1, maximum: 100, default: 10 },
    folders: { type: "array", items: { type: "string" }, title: "Folders" },
    env: { type: "object", additionalProperties: { type: "string" }, title: "Environment" },
    limits: { type: "object", title: "Limits", properties: { memory: { type: "integer", title: "Memory" } } },
  },
};

beforeEach(async () => {
  await page.viewport(1440, 800);
  document.documentElement.style.height = document.body.style.height = "100%";
  document.documentElement.dataset["theme"] = "dark";
  room = new TestRoom();
  room.setTypes(
    {
      type: {
        name: "tunable",
        description: "Can be steered.",
        levers: ["run", "speed", "log_level", "parameters"],
        parametersSchema: schema,
        takesInput: true,
      },
      workers: 1,
      slots: 4,
    },
    { type: { name: "plain", levers: ["run"] }, workers: 1, slots: 4 },
    { type: { name: "run", levers: ["run"], takesInput: true, pinned: true, systemStop: true }, workers: 1, slots: 1 },
  );
});
afterEach(() => history.replaceState(null, "", started));

async function open(path: string): Promise<void> {
  history.replaceState(null, "", path);
  const target = document.createElement("div");
  target.style.height = "800px";
  document.body.append(target);
  await render(App, { target, props: { transport: room.transport, session: new Session() } });
}

const attempts = [{ number: 1, workerId: "box-01", incarnation: "i", assignedAtUs: 1n, startedAtUs: 2n }];

/** A job with these lever values in effect. */
function running(values: LeverValue[] = [], more: Parameters<typeof jobRecord>[0] = {}) {
  const levers = [runValue(RunMode.RUN), ...values].map((value) => ({ generation: 1n, value }));
  return jobRecord({
    id: "alpha",
    name: "alpha",
    type: "tunable",
    state: JobState.RUNNING,
    attempts: [{ ...attempts[0], levers: levers.map((each) => ({ ...each, outcome: LeverOutcome.APPLIED })) }],
    startedAtUs: nowUs() - 5_000_000n,
    spec: { generation: 1n, levers },
    ...more,
  });
}

/** A job with DEBUG in effect for another 8:41, then INFO. */
function timed(values: LeverValue[] = []) {
  const hold = create(HoldSchema, {
    durationMs: 600_000n,
    then: logLevelValue(Level.INFO),
    endsAtUs: nowUs() + 521_000_000n,
  });
  const job = running([logLevelValue(Level.DEBUG), ...values]);
  for (const setting of job.spec?.levers ?? []) if (setting.value?.value.case === "logLevel") setting.hold = hold;
  return job;
}

const sent = () => room.commands.map((each) => each.command);

describe("the log level", () => {
  test("is chosen by keyboard, for a time, and the focus returns", async () => {
    room.setJob(running([logLevelValue(Level.INFO)]));
    await open("/jobs/alpha");
    await until(() => words(lever("Log level")).includes("INFO"));
    await userEvent.keyboard("l");
    await expect.element(page.getByRole("menu", { name: "Change log level" })).toBeVisible();
    await userEvent.keyboard("{ArrowRight}{ArrowRight}");
    await expect.element(page.getByText("then back to INFO")).toBeVisible();
    await userEvent.keyboard("{ArrowDown}d{Enter}");
    await until(() => room.commands.length === 1);
    expect(sent()[0]).toMatchObject({
      action: { case: "set", value: logLevelValue(Level.DEBUG) },
      hold: { durationMs: 600_000n, then: logLevelValue(Level.INFO) },
    });
    expect(document.activeElement?.getAttribute("aria-label")).toBe("Change log level");
    expect(page.getByRole("menu").elements()).toHaveLength(0);
  });

  test("says when it goes back, which can be now or never", async () => {
    room.setJob(timed());
    await open("/jobs/alpha");
    await until(() => /back to INFO in 8:\d\d, keep/.test(note("Log level")));
    await userEvent.click(page.getByRole("button", { name: "keep" }));
    await until(() => room.commands.length === 1);
    expect(sent()[0]?.hold).toBeUndefined();
    expect(sent()[0]?.action.value).toEqual(logLevelValue(Level.DEBUG));
    await userEvent.click(page.getByRole("button", { name: "back to INFO" }));
    await until(() => room.commands.length === 2);
    expect(sent()[1]?.action.value).toEqual(logLevelValue(Level.INFO));
  });
});

describe("cancel on a phone", () => {
  test("is sent by a second tap in the same place, and Undo stands elsewhere", async () => {
    await page.viewport(360, 800);
    room.setJob(running());
    await open("/jobs/alpha");
    const cancel = page.getByRole("button", { name: "Cancel" });
    await expect.element(cancel).toBeEnabled();
    const { left, top, width, height } = cancel.element().getBoundingClientRect();
    const underThumb = () => document.elementFromPoint(left + width / 2, top + height / 2)?.closest("button");
    underThumb()?.click();
    await until(() => /^Cancels in [34]\ss$/.test(words(underThumb())));
    expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
    await userEvent.click(page.getByRole("button", { name: "Undo" }));
    await until(() => underThumb()?.getAttribute("aria-label") === "Cancel");
    underThumb()?.click();
    await until(() => words(underThumb()).startsWith("Cancels in"));
    expect(room.commands).toHaveLength(0);
    underThumb()?.click();
    await until(() => room.commands.length === 1);
    expect(sent()[0]?.action).toMatchObject({ value: { value: { value: { mode: RunMode.CANCEL } } } });
  });
});

describe("priority", () => {
  test("of a waiting job is chosen by name or typed", async () => {
    room.setJob(running([], { state: JobState.QUEUED, attempts: [] }));
    await open("/jobs/alpha");
    await until(() => words(lever("Priority")).includes("Normal"));
    await userEvent.keyboard("y");
    await userEvent.keyboard("{ArrowUp}{Enter}");
    await until(() => room.commands.length === 1);
    expect(sent()[0]?.action.value).toEqual(priorityValue(10));
    await userEvent.click(page.getByRole("button", { name: "Change priority" }));
    await userEvent.click(page.getByRole("menuitemradio", { name: "Another number…" }));
    await userEvent.fill(page.getByRole("textbox", { name: /^Priority/ }), "101");
    await userEvent.keyboard("{Enter}");
    await until(() => note("Priority") === "a whole number from −100 to 100");
    await userEvent.fill(page.getByRole("textbox", { name: /^Priority/ }), "−5");
    await userEvent.keyboard("{Enter}");
    await until(() => room.commands.length === 2);
    expect(sent()[1]?.action.value).toEqual(priorityValue(-5));
  });

  test("of a running job does not move, and says why", async () => {
    room.setJob(running());
    await open("/jobs/alpha");
    await until(() => note("Priority") === "orders the queue; this job has left it");
    await userEvent.keyboard("y");
    expect(page.getByRole("menu").elements()).toHaveLength(0);
    await expect
      .element(page.getByRole("button", { name: "Change priority" }))
      .toHaveAttribute("title", "Orders the queue; this job has left it");
    expect(room.commands).toHaveLength(0);
  });
});

describe("parameters", () => {
  const before = { retries: 10, folders: ["/a"] };

  test("are checked in the form, changed fields are marked, and the whole object is sent", async () => {
    room.setJob(running([parametersValue(before)]));
    await open("/jobs/alpha");
    await until(() => words(lever("Parameters")).includes("2 values"));
    await userEvent.keyboard("e");
    const field = page.getByRole("textbox", { name: /^Retries/ });
    await userEvent.fill(field, "200");
    await expect.element(page.getByText("was 10")).toBeVisible();
    await userEvent.click(page.getByRole("button", { name: "Set parameters" }));
    await expect.element(page.getByText("Retries must be 100 or less")).toBeVisible();
    expect(document.activeElement).toBe(field.element());
    expect(room.commands).toHaveLength(0);
    await userEvent.fill(field, "12");
    await userEvent.fill(page.getByRole("textbox", { name: /^Environment/ }), "A=1\nB=x=y");
    await userEvent.fill(page.getByRole("textbox", { name: /^Memory/ }), "64");
    await userEvent.click(page.getByRole("button", { name: "Set parameters" }));
    await until(() => room.commands.length === 1);
    expect(sent()[0]?.action.value).toEqual(
      parametersValue({ ...before, retries: 12, env: { A: "1", B: "x=y" }, limits: { memory: 64 } }),
    );
    await until(() => document.querySelector("dialog") === null);
  });

  test("that the server refuses stay in the form, with the reason", async () => {
    room.setJob(running([parametersValue(before)]));
    room.onCommand = () => {
      throw new ConnectError(
        "Parameters do not fit job type 'tunable': folders must NOT have duplicate items.",
        Code.InvalidArgument,
      );
    };
    await open("/jobs/alpha");
    await until(() => lever("Parameters"));
    await userEvent.keyboard("e");
    const field = page.getByRole("textbox", { name: /^Folders/ });
    await userEvent.fill(field, "/a\n/a");
    await userEvent.click(page.getByRole("button", { name: "Set parameters" }));
    await expect.element(page.getByRole("alert").getByText(/duplicate items/)).toBeVisible();
    await expect.element(field).toHaveValue("/a\n/a");
  });

  test("that somebody else set meanwhile are said with who and when, and the choice is theirs or mine on top", async () => {
    room.setJob(running([parametersValue(before)]));
    await open("/jobs/alpha");
    await until(() => words(lever("Parameters")).includes("2 values"));
    await userEvent.keyboard("e");
    const field = page.getByRole("textbox", { name: /^Retries/ });
    await userEvent.fill(field, "12");
    const theirs = (retries: number, generation: bigint) => {
      const value = parametersValue({ retries, folders: ["/b"] });
      const more = { generation, value, actor: { name: "raj" }, state: ReceiptState.ACCEPTED, acceptedAtUs: nowUs() };
      const levers = [
        { generation: 1n, value: runValue(RunMode.RUN) },
        { generation, value },
      ];
      room.setJob(running([], { spec: { generation, levers }, receipts: [more] }));
    };
    theirs(77, 2n);
    const form = page.getByRole("dialog");
    await expect
      .element(form.getByText('Raj set parameters retries 10 → 77, folders ["/a"] → ["/b"] while this form was open.'))
      .toBeVisible();
    expect(words(document.querySelector(".news"))).toMatch(/ open\. \S+ m?s ago\./);
    await expect.element(form.getByRole("button", { name: "Set parameters" })).toHaveAttribute("aria-disabled", "true");
    await userEvent.click(form.getByRole("button", { name: "Keep mine on top" }));
    await expect.element(form.getByText("was 77")).toBeVisible();
    await expect.element(field).toHaveValue("12");
    theirs(78, 3n);
    await userEvent.click(form.getByRole("button", { name: "Take their values" }));
    await expect.element(field).toHaveValue("78");
    await userEvent.fill(field, "13");
    await userEvent.click(form.getByRole("button", { name: "Set parameters" }));
    await until(() => room.commands.length === 1);
    expect(sent()[0]?.action.value).toEqual(parametersValue({ retries: 13, folders: ["/b"] }));
  });

  test("that the worker refuses are written back, and the lever says with what the job runs on", async () => {
    room.setJob(
      running([], {
        spec: { generation: 3n, levers: [{ generation: 3n, value: parametersValue(before) }] },
        receipts: [
          {
            generation: 2n,
            value: parametersValue({ ...before, retries: 50 }),
            before: parametersValue(before),
            state: ReceiptState.REJECTED,
            reason: "45 retries at most",
            acceptedAtUs: nowUs(),
            decidedAtUs: nowUs(),
          },
        ],
      }),
    );
    await open("/jobs/alpha");
    await until(() => note("Parameters") === "refused: 45 retries at most. Runs on with retries 10");
    expect(words(lever("Parameters"))).toContain("retries 10 → 50");
  });

  test("of a type without the lever can be read while it runs", async () => {
    room.setJob(running([parametersValue({ folder: "/srv" })], { type: "plain" }));
    await open("/jobs/alpha");
    await until(() => note("Parameters") === "not offered by this type");
    await userEvent.keyboard("e");
    await expect.element(page.getByText("They stay as they are: not offered by this type.")).toBeVisible();
    await expect.element(page.getByRole("dialog").getByText("/srv")).toBeVisible();
  });

  test("of a waiting job can always be changed", async () => {
    room.setTypes({ type: { name: "tunable", levers: ["run"], parametersSchema: schema }, workers: 1, slots: 1 });
    room.setJob(running([parametersValue(before)], { state: JobState.QUEUED, attempts: [] }));
    await open("/jobs/alpha");
    await until(() => note("Parameters") === "holds from its start");
    await userEvent.keyboard("e");
    await expect.element(page.getByRole("button", { name: "Set parameters" })).toBeVisible();
  });
});

describe("input", () => {
  const vitals = (inputEnd: bigint, inputTaken: bigint, inputClosed = false) =>
    room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: nowUs(), inputEnd, inputTaken, inputClosed });
  const field = () => page.getByPlaceholder("Text for the program, Enter sends");
  const state = () => words(document.querySelector("form[aria-label=Input] [role=status]"));

  beforeEach(async () => {
    room.setJob(running());
    await open("/jobs/alpha");
    await expect.element(field()).toBeVisible();
  });

  test("is sent with its newline, says what waits to be read, and is found again with the arrows", async () => {
    await userEvent.keyboard("i");
    await userEvent.keyboard("yes{Enter}");
    await until(() => room.inputs.length === 1);
    expect(room.inputs[0]).toEqual({ text: "yes\n", eof: false });
    await until(() => state() === "sent, not taken yet (4 bytes wait)");
    vitals(4n, 4n);
    await until(() => state() === "taken by the worker");
    await userEvent.keyboard("two{Shift>}{Enter}{/Shift}lines{Enter}");
    await until(() => room.inputs.length === 2);
    expect(room.inputs[1]?.text).toBe("two\nlines\n");
    await until(() => (field().element() as HTMLTextAreaElement).value === "");
    await userEvent.keyboard("dr{ArrowUp}{Home}{ArrowUp}");
    await expect.element(field()).toHaveValue("two\nlines");
    await userEvent.keyboard("{ArrowUp}{ArrowUp}");
    await expect.element(field()).toHaveValue("yes");
    await userEvent.keyboard("{ArrowDown}");
    await expect.element(field()).toHaveValue("two\nlines");
  });

  test("that is hidden is not kept", async () => {
    await userEvent.click(page.getByRole("button", { name: "Hide" }));
    const hidden = page.getByPlaceholder("Hidden text, Enter sends");
    await userEvent.fill(hidden, "secret");
    expect((hidden.element() as HTMLInputElement).type).toBe("password");
    await userEvent.keyboard("{Enter}");
    await until(() => room.inputs.length === 1);
    expect(room.inputs[0]?.text).toBe("secret\n");
    await userEvent.click(page.getByRole("button", { name: "Hidden" }));
    await userEvent.keyboard("{ArrowUp}");
    await expect.element(field()).toHaveValue("");
  });

  test("that was refused stays in the field, with the reason", async () => {
    room.onInput = () => {
      throw new ConnectError("The attempt is over.", Code.FailedPrecondition);
    };
    await userEvent.fill(field(), "too late");
    await userEvent.keyboard("{Enter}");
    await until(() => state() === "Not sent. The attempt is over.");
    await expect.element(field()).toHaveValue("too late");
  });

  test("is ended after a question in its place, and then nothing can be sent", async () => {
    await userEvent.click(page.getByRole("button", { name: "End input" }));
    await userEvent.keyboard("{Tab}{Enter}");
    expect(room.inputs).toEqual([]);
    await userEvent.click(page.getByRole("button", { name: "End input" }));
    await userEvent.keyboard("{Enter}");
    await until(() => room.inputs.length === 1);
    expect(room.inputs[0]).toEqual({ text: "", eof: true });
    await until(() => state() === "ended: nothing more can be sent");
    expect(field().elements()).toHaveLength(0);
  });

  test("is there only while the attempt runs and its type takes any", async () => {
    room.setJob(running([], { type: "plain" }));
    await until(() => field().elements().length === 0);
    room.setJob(running());
    await expect.element(field()).toBeVisible();
    const end = { outcome: EndOutcome.SUCCEEDED, exitCode: 0 };
    room.setJob(
      running([], {
        state: JobState.SUCCEEDED,
        endedAtUs: nowUs(),
        attempts: [{ ...attempts[0], endedAtUs: nowUs(), end }],
      }),
    );
    await until(() => field().elements().length === 0);
  });
});

test("a job that waits for one worker, which could come back, can be retried while that is away", async () => {
  const ended = { state: JobState.FAILED, endedAtUs: nowUs(), workerId: "box-2" };
  room.setJob(running([], { ...ended, type: "plain", attempts: [{ ...attempts[0], endedAtUs: nowUs() }] }));
  room.setWorkers({ workerId: "box-2" });
  room.setWorkerVitals({ workerId: "box-2", connected: false });
  await open("/jobs/alpha");
  await until(() => note("End") === "a retry is a new attempt");
  await expect.element(page.getByRole("button", { name: "Retry" })).toBeEnabled();
});

describe("a job of `signalbox run`", () => {
  const ended = (exitCode: number) =>
    running([parametersValue({ command: ["sh", "-c", "exit 3; echo 'x'"], cwd: "/srv/app" })], {
      type: "run",
      workerId: "run-4711",
      state: JobState.FAILED,
      endedAtUs: nowUs(),
      attempts: [
        { ...attempts[0], workerId: "run-4711", endedAtUs: nowUs(), end: { outcome: EndOutcome.FAILED, exitCode } },
      ],
    });

  test("shows its command line and how it ended, and can be retried only where its worker is connected", async () => {
    room.setJob(ended(139));
    room.setWorkers({ workerId: "run-4711" });
    room.setWorkerVitals({ workerId: "run-4711", connected: false });
    await open("/jobs/alpha");
    await until(() => note("End") === "Only its own worker can run it, and that one is not connected");
    await expect
      .element(page.getByRole("button", { name: "Retry" }))
      .toHaveAttribute("title", "Only its own worker can run it, and that one is not connected");
    await userEvent.click(page.getByRole("tab", { name: "Details" }));
    await expect.element(page.getByText(String.raw`sh -c 'exit 3; echo '\''x'\'''`)).toBeVisible();
    await until(() => words(document.querySelector(".details")).includes("exit 139, SIGSEGV"));
    expect(page.getByRole("link", { name: "run-4711" }).first().element().getAttribute("href")).toBe(
      "/workers?worker=run-4711",
    );
    room.setWorkerVitals({ workerId: "run-4711", connected: true, link: { state: WorkerLinkState.CONNECTED } });
    await until(() => note("End") === "a retry is a new attempt");
  });

  test("a cancel runs down to the kill, or to giving up what cannot be killed, with what the job does meanwhile", async () => {
    const cancel = { ...runValue(RunMode.CANCEL) };
    if (cancel.value.case === "run") cancel.value.value.graceMs = 10_000;
    const job = running([], {
      spec: { generation: 2n, levers: [{ generation: 2n, value: cancel }] },
      receipts: [
        { generation: 2n, value: cancel, state: ReceiptState.DELIVERED, acceptedAtUs: nowUs(), deliveredAtUs: nowUs() },
      ],
    });
    room.setJob(job);
    room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: nowUs(), phase: "3 processes left" });
    await open("/jobs/alpha");
    await until(() => /^ends by itself within \d\.\d.s, then given up · 3 processes left$/.test(note("End")));
    room.setJob({ ...job, type: "run" });
    await until(() => /^ends by itself within \d\.\d.s, then killed · 3 processes left$/.test(note("End")));
    room.setJob({ ...job, type: "nobody's" });
    await until(() => /^ends by itself within \d\.\d.s, then killed or given up · 3/.test(note("End")));
  });

  test("is not offered in the start form", async () => {
    await open("/");
    await until(() => words(document.querySelector(".empty")).includes("signalbox run -- make test"));
    await userEvent.keyboard("n");
    const options = () => [...document.querySelectorAll("dialog select option")].map((each) => each.textContent);
    await until(() => options().includes("tunable"));
    expect(options()).not.toContain("run");
  });
});

describe("the start form", () => {
  test("asks for everything a job can begin with, and fills itself in from the last one", async () => {
    room.setJob(
      running([parametersValue({ retries: 7, folders: ["/a", "/b"], env: { A: "1" } }), logLevelValue(Level.WARN)], {
        labels: { team: "search" },
      }),
    );
    await open("/");
    await until(() => document.querySelector("tr[data-job]"));
    await userEvent.keyboard("n");
    await userEvent.click(page.getByRole("button", { name: "Same as last time" }));
    await expect.element(page.getByRole("textbox", { name: /^Retries/ })).toHaveValue("7");
    await expect.element(page.getByRole("textbox", { name: /^Folders/ })).toHaveValue("/a\n/b");
    await userEvent.click(page.getByText("Labels, priority, log level, start paused"));
    await userEvent.fill(page.getByRole("textbox", { name: /^Labels/ }), "env=prod");
    await userEvent.fill(page.getByRole("textbox", { name: "Priority" }), "5");
    await userEvent.click(page.getByRole("checkbox", { name: "Start paused" }));
    await userEvent.click(page.getByRole("button", { name: "Start tunable" }));
    await until(() => room.started.length === 1);
    expect(room.started[0]).toMatchObject({
      type: "tunable",
      name: "alpha",
      parameters: { retries: 7, folders: ["/a", "/b"], env: { A: "1" } },
      labels: { team: "search", env: "prod" },
    });
    expect(room.started[0]?.levers.map((each) => each.value.case)).toEqual(["speed", "priority", "logLevel", "run"]);
  });
});

describe.each(["dark", "light"])("axe finds nothing in %s", (theme) => {
  test("on a job with every lever, its menu, its form and its input, down to 360 px", async () => {
    document.documentElement.dataset["theme"] = theme;
    room.setJob(timed([parametersValue({ retries: 10, folders: ["/a"] })]));
    room.setVitals({ jobId: "alpha", attempt: 1, asOfUs: nowUs(), inputEnd: 12n, inputTaken: 0n });
    room.append([chunkEntry(1, ["a\n", "10 %\r20 %"])]);
    await open("/jobs/alpha");
    await until(() => document.querySelector('[data-key="l2"]'));
    await userEvent.click(page.getByRole("tab", { name: "Details" }));
    expect(await faults()).toEqual([]);
    await userEvent.keyboard("l");
    await expect.element(page.getByRole("menu")).toBeVisible();
    expect(await faults()).toEqual([]);
    await userEvent.keyboard("{Escape}e");
    await expect.element(page.getByRole("dialog")).toBeVisible();
    await userEvent.fill(page.getByRole("textbox", { name: /^Retries/ }), "0");
    await userEvent.click(page.getByRole("button", { name: "Set parameters" }));
    expect(await faults()).toEqual([]);
    await userEvent.keyboard("{Escape}");
    await page.viewport(360, 740);
    await userEvent.click(page.getByRole("tab", { name: "Log" }));
    await until(() => document.querySelector("form[aria-label=Input]"));
    expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
    expect(await faults()).toEqual([]);
    await userEvent.click(page.getByRole("button", { name: "Levers" }));
    expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
    expect(await faults()).toEqual([]);
  });
});

async function faults(): Promise<string[]> {
  const passing = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.allSettled(passing.map((each) => each.finished));
  const { violations } = await axe.run(document.body, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] });
  return violations.flatMap((violation) =>
    violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary ?? ""}`),
  );
}
