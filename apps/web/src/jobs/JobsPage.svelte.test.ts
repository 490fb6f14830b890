import { ConnectError, Code } from "@connectrpc/connect";
import { BulkOutcome, BulkState, JobState, RunMode } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { page, userEvent } from "vitest/browser";
import { cleanup } from "vitest-browser-svelte";
import { openApp, axeFaults, until, words } from "../test-app.ts";
import { TestRoom } from "../test-room.ts";
import { plainCommand } from "./list/bulk-verbs.ts";
import { jobRecord, runValue } from "./samples.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
beforeEach(() => {
  room = new TestRoom();
  room.setTypes({ type: { name: "index", levers: ["run", "speed"] }, workers: 1, slots: 4 });
});
afterEach(() => {
  document.body.replaceChildren();
  history.replaceState(null, "", started);
});

const nowUs = () => BigInt(Date.now() * 1000);
const attempts = [{ number: 1, workerId: "box-01", assignedAtUs: 1n, startedAtUs: 2n }];
function put(id: string, more: Parameters<typeof jobRecord>[0] = {}) {
  const spec = { generation: 1n, levers: [{ generation: 1n, value: runValue(RunMode.RUN) }] };
  room.setJob(
    jobRecord({ id, name: id, state: JobState.RUNNING, attempts, startedAtUs: nowUs() - 5_000_000n, spec, ...more }),
  );
}
const held = { spec: { generation: 2n, levers: [{ generation: 2n, value: runValue(RunMode.PAUSE) }] } };
const rows = () => [...document.querySelectorAll<HTMLElement>("tr[data-job]")].map((row) => row.dataset["job"]);
const row = (id: string) => document.querySelector(`tr[data-job="${id}"]`);
const box = (id: string) => row(id)?.querySelector("input");
const bar = () => document.querySelector('section[aria-label="Selected jobs"]');
const strips = () => [...document.querySelectorAll('section[aria-label$="of many jobs"]')].map(words);
const chips = () => [...document.querySelectorAll(".chip")].map(words);
function button(name: string | RegExp, within: ParentNode = document): HTMLElement {
  const found = [...within.querySelectorAll<HTMLElement>("button, a")].find((each) => {
    const key = words(each.querySelector("kbd"));
    const label =
      each.getAttribute("aria-label") ??
      words(each)
        .slice(0, key ? -key.length : undefined)
        .trim();
    return typeof name === "string" ? label === name : name.test(label);
  });
  if (!found) throw new Error(`no button ${String(name)}`);
  return found;
}
const shows = (...ids: string[]) => until(() => JSON.stringify(rows()) === JSON.stringify(ids));
/** Opens the list with the pointer off the table, so that its rows may move. */
async function open(path: string, width?: number): Promise<void> {
  await openApp(room, path, width);
  await leave();
}
const leave = async () => userEvent.hover((await until(() => document.querySelector("h1"))) ?? document.body);

test("while the page is not live, an empty room starts no job either way", async () => {
  room.setTypes({ type: { name: "index", levers: ["run"] }, workers: 1, slots: 1 });
  await openApp(room, "/");
  const starts = () => page.getByRole("button", { name: "Start job" }).elements();
  await until(() => starts().length === 2 && starts().every((each) => each.ariaDisabled !== "true"));
  room.cut();
  await until(() => starts().every((each) => each.ariaDisabled === "true"));
});

describe("the list of jobs", () => {
  beforeEach(() => {
    put("alpha", { labels: { team: "search" } });
    put("beta", { labels: { team: "ads" }, startedAtUs: nowUs() - 4_000_000n, type: "embed" });
    put("gamma", { state: JobState.QUEUED, attempts: [], labels: { team: "ads" } });
    put("delta", { state: JobState.SUCCEEDED, endedAtUs: nowUs() - 1_000_000n });
  });

  test("why a job waits is read in full in its row", async () => {
    room.setVitals({
      jobId: "gamma",
      waitsFor: "no free slot on any worker of its type (1 worker, 4 of 4 slots busy)",
    });
    await open("/");
    const why = () => row("gamma")?.querySelector<HTMLElement>(".why");
    await until(() => words(why()).includes("slots busy)"));
    for (const width of [1440, 1280]) {
      await page.viewport(width, 800);
      expect(why()?.scrollHeight, `${width} px`).toBeLessThanOrEqual(why()?.clientHeight ?? 0);
      expect(row("gamma")?.getBoundingClientRect().height).toBe(36);
    }
  });

  test("what a job is called turns nothing around that stands beside it, and shows what would", async () => {
    // Svelte warns of such characters in a source.
    const [override, isolate] = [String.fromCodePoint(0x202e), String.fromCodePoint(0x2066)];
    const name = `invoice${override}fdp.exe`;
    put("odd", { name, labels: { team: `a${isolate}b` }, state: JobState.LOST, reason: `no ${name} there` });
    await open("/?state=lost");
    await until(() => words(row("odd")).includes("invoice<U+202E>fdp.exe"));
    expect(words(row("odd"))).toContain("team=a<U+2066>b");
    expect(words(row("odd"))).toContain("no invoice<U+202E>fdp.exe there");
    expect(document.body.innerText).not.toContain(override);
    const link = row("odd")?.querySelector("th a");
    expect(link && getComputedStyle(link).unicodeBidi).toBe("isolate");
    history.pushState(null, "", "/jobs/odd");
    dispatchEvent(new PopStateEvent("popstate"));
    await until(() => words(document.querySelector("h1")) === "invoice<U+202E>fdp.exe");
    await until(() => document.title.includes("invoice<U+202E>fdp.exe"));
    expect(document.body.innerText).not.toContain(override);
  });

  test("filters from the URL are chips, and removing one changes URL and rows", async () => {
    await open("/?state=running,waiting&label=team%3Dads&q=a");
    await shows("beta", "gamma");
    expect(chips()).toEqual(["stateWaiting, Running", "labelteam=ads"]);
    await userEvent.click(button("Remove label team=ads"));
    await shows("beta", "alpha", "gamma");
    expect(location.search).toBe("?state=waiting%2Crunning&q=a");
    await userEvent.click(button("Clear filter"));
    await shows("beta", "alpha", "gamma", "delta");
    expect(location.search).toBe("");
  });

  test("a filter is added from a menu, by a label in a row, and by typing", async () => {
    await open("/");
    await shows("beta", "alpha", "gamma", "delta");
    await userEvent.click(button("Add a filter by type"));
    const items = [...document.querySelectorAll("[role=menuitemradio]")];
    expect(items.map(words)).toEqual(["index3", "embed1"]);
    await userEvent.keyboard("{ArrowDown}{Enter}");
    await shows("beta");
    expect(location.search).toBe("?type=embed");
    await userEvent.click(button("Remove type embed"));
    await shows("beta", "alpha", "gamma", "delta");
    await userEvent.click(button("team=search"));
    await shows("alpha");
    await userEvent.click(button("Clear filter"));
    await leave();
    await userEvent.keyboard("/");
    await userEvent.keyboard("state:succeeded ta{Enter}");
    await shows("delta");
    expect([chips(), location.search]).toEqual([["stateSucceeded"], "?state=succeeded&q=ta"]);
  });

  test("a filter that hides everything says so, and how to be rid of it", async () => {
    await open("/?type=nothing");
    await until(() => words(document.querySelector(".none")) === "0 of 4 jobs. Clear filter");
    await userEvent.click(button("Clear filter", document.querySelector(".none") ?? document));
    await shows("beta", "alpha", "gamma", "delta");
  });

  test("a column sorts its way, the other way, then not; the URL says which", async () => {
    await open("/");
    await shows("beta", "alpha", "gamma", "delta");
    const head = () => button("Job, type");
    await userEvent.click(head());
    await shows("alpha", "beta", "delta", "gamma");
    expect([location.search, head().closest("th")?.ariaSort]).toEqual(["?sort=name", "ascending"]);
    await userEvent.click(head());
    await shows("gamma", "delta", "beta", "alpha");
    expect(location.search).toBe("?sort=-name");
    await userEvent.click(head());
    await shows("beta", "alpha", "gamma", "delta");
    expect([location.search, head().closest("th")?.ariaSort]).toEqual(["", null]);
  });

  test("the order follows measured numbers, and stands still while the cursor is among the rows", async () => {
    const errors = (jobId: string, count: bigint) =>
      room.setVitals({ jobId, attempt: 1, asOfUs: 1n, levelCounts: [0n, 0n, 0n, 0n, 0n, count, 0n] });
    errors("alpha", 5n);
    await open("/?sort=-errors&state=running");
    await shows("alpha", "beta");
    errors("beta", 9n);
    await shows("beta", "alpha");
    await userEvent.keyboard("j");
    errors("alpha", 20n);
    await until(() => words(document.querySelector("footer")).includes("Order stands still, sort again"));
    expect(rows()).toEqual(["beta", "alpha"]);
    await userEvent.click(button("Order stands still, sort again"));
    await shows("alpha", "beta");
  });

  test("a job shows what it printed lately", async () => {
    await open("/");
    await shows("beta", "alpha", "gamma", "delta");
    room.setTrend({ jobId: "alpha", bucketMs: 5_000, endUs: nowUs(), lines: [3, 9], errors: [0, 1] });
    const plot = await until(() => row("alpha")?.querySelector("svg[role=img]"));
    expect(plot?.getAttribute("aria-label")).toMatch(
      /^12.lines in the last 5 minutes, most 9 in 5 s up to .*; 1.error$/,
    );
  });
});

describe("a selection", () => {
  beforeEach(async () => {
    for (const id of ["a", "b", "c"]) put(id, { startedAtUs: BigInt(id.charCodeAt(0)) });
    put("h", { state: JobState.QUEUED, attempts: [], ...held });
    put("z", { state: JobState.FAILED, endedAtUs: nowUs() });
    await open("/");
    await shows("z", "c", "b", "a", "h");
  });

  test("is made with boxes, Shift for a range, and keys; the bar counts states and what each verb would touch", async () => {
    expect(bar()).toBeNull();
    await userEvent.click(box("c") ?? document.body);
    await userEvent.keyboard("{Shift>}");
    await userEvent.click(box("h") ?? document.body);
    await userEvent.keyboard("{/Shift}");
    await until(() => words(bar()).startsWith("4 selected"));
    expect(words(bar())).toContain("3 running, 1 waiting");
    for (const verb of ["Pause 3", "Resume 1", "Cancel 4…", "Retry 0…"]) expect(words(bar())).toContain(verb);
    expect(words(bar())).toContain("Pause skips 1: held already");
    await userEvent.keyboard("{Escape}");
    await until(() => bar() === null);
    await userEvent.keyboard("{Escape}jxJ");
    await until(() => words(bar()).startsWith("2 selected"));
    expect([box("z")?.checked, box("c")?.checked, box("b")?.checked]).toEqual([true, true, false]);
    await userEvent.click(button("Clear", bar() ?? document));
    await userEvent.click(document.querySelector<HTMLElement>('thead input[type="checkbox"]') ?? document.body);
    await until(() => words(bar()).startsWith("5 selected"));
  });

  test("is paused without a sheet, in one command to many that all can undo while it is held; a refusal is said in the bar", async () => {
    await userEvent.keyboard("jjxJp");
    await until(() => room.bulksStarted.length === 1);
    expect(room.bulksStarted[0]).toMatchObject({
      selection: { jobs: { case: "ids", value: { ids: ["c", "b"] } } },
      command: plainCommand("pause"),
      holdMs: 5_000,
    });
    expect(document.querySelector("dialog")).toBeNull();
    expect(room.commands).toEqual([]);
    room.onBulk = () => {
      throw new ConnectError("Nothing is left to do.", Code.FailedPrecondition);
    };
    await userEvent.keyboard("p");
    await until(() => words(bar()).includes("Not paused. Nothing is left to do."));
  });

  test("is cancelled after a preview, held with the way to undo it, and reported job by job", async () => {
    room.onPreview = () => ({
      touched: [{ state: JobState.RUNNING, jobs: 2 }],
      skipped: [{ state: JobState.FAILED, jobs: 1, reason: "failed already" }],
      ...{ touchedTotal: 2, skippedTotal: 1 },
    });
    const record = {
      ...{ id: "b-9", actor: { name: "ana" }, command: plainCommand("cancel"), jobsTotal: 3, createdAtUs: nowUs() },
      ...{ state: BulkState.HELD, heldUntilUs: nowUs() + 60_000_000n, selectionWords: "3 selected jobs" },
    };
    room.onBulk = () => record;
    await userEvent.keyboard("jxJJc");
    const sheet = await until(() => document.querySelector("dialog"));
    const lines = () => [...(sheet?.querySelectorAll("tbody tr") ?? [])].map((line) => [...line.children].map(words));
    await until(() => lines().length === 2);
    expect(lines()).toEqual([
      ["Running", "gets the command", "2"],
      ["Failed", "skipped: failed already", "1"],
    ]);
    expect(words(sheet)).toContain("Held for 5 s: everybody sees it and can undo it.");
    await userEvent.click(button(/^Cancel 2.jobs$/, sheet ?? document));
    await until(() => strips()[0]?.startsWith("Held ana cancels 2 of 3 jobs in") === true);
    expect(document.querySelector("dialog")).toBeNull();
    expect(room.bulksStarted[0]?.holdMs).toBe(5_000);

    await userEvent.click(button("Cancel now"));
    await userEvent.keyboard("z");
    await until(() => room.bulkCalls.length === 2);
    expect(room.bulkCalls).toEqual(["release b-9", "undo b-9"]);

    room.setBulk({ ...record, state: BulkState.RUNNING, accepted: 1 });
    await until(() => strips()[0]?.includes("1 of 3") === true);
    await userEvent.click(button("Stop"));
    await until(() => room.bulkCalls.includes("stop b-9"));
    const ended = { ...record, accepted: 2, skipped: 1, state: BulkState.DONE, endedAtUs: nowUs() };
    const results = [
      { jobId: "c", outcome: BulkOutcome.ACCEPTED },
      { jobId: "b", outcome: BulkOutcome.ACCEPTED },
      { jobId: "z", outcome: BulkOutcome.SKIPPED, reason: "failed already" },
    ];
    room.setBulk({ ...ended, results });
    await until(() => strips()[0]?.includes("Cancel of 3 jobs by ana accepted by 2 of 3 · 1 skipped") === true);
    await userEvent.click(button("Report"));
    const said = () => [...document.querySelectorAll("dialog :is(h3, li)")].map(words);
    await until(() => said().length === 5);
    expect(said()).toEqual(["Skipped 1: failed already", "z", "Accepted 2", "c", "b"]);
  });

  test("others see what is held, and one that ended before they came is not shown", async () => {
    const others = { actor: { name: "raj" }, command: plainCommand("retry"), jobsTotal: 40, createdAtUs: nowUs() };
    room.setBulk({ ...others, id: "b-2", state: BulkState.HELD, heldUntilUs: nowUs() + 60_000_000n });
    await until(() => strips()[0]?.includes("raj retries up to 40 jobs in") === true);
    await userEvent.click(button("Undo"));
    expect(room.bulkCalls).toEqual(["undo b-2"]);
    room.setBulk({ ...others, id: "b-2", state: BulkState.UNDONE, endedAtUs: nowUs(), endedBy: { name: "ana" } });
    await until(() => strips()[0]?.includes("undone by ana, no job has noticed") === true);
    await userEvent.click(button(/^Close/));
    expect(strips()).toEqual([]);
    cleanup();
    await open("/");
    await shows("z", "c", "b", "a", "h");
    expect(strips()).toEqual([]);
  });

  test("speed of many is asked in a sheet that says what is wrong with a value", async () => {
    room.onPreview = () => ({ touched: [{ state: JobState.RUNNING, jobs: 2 }], touchedTotal: 2 });
    await userEvent.keyboard("jjxJ+");
    const field = await until(() => document.querySelector<HTMLInputElement>("dialog input"));
    await userEvent.fill(field ?? document.body, "-3");
    await until(() => words(document.querySelector("dialog")).includes("A number above 0"));
    await userEvent.fill(field ?? document.body, "12.5");
    await until(() => button(/^Set speed of 2.jobs$/).getAttribute("aria-disabled") === null);
    await userEvent.keyboard("{Enter}");
    await until(() => room.bulksStarted.length === 1);
    expect(room.bulksStarted[0]?.command?.action).toMatchObject({
      value: { value: { case: "speed", value: { itemsPerSecond: 12.5 } } },
    });
  });
});

test.each([1440, 390])("a selection has no serious finding of axe at %i px, with sheet and held bar", async (width) => {
  for (const id of ["a", "b"]) put(id, { labels: { team: "ads", pool: "gpu" } });
  put("z", { state: JobState.FAILED, endedAtUs: nowUs() });
  room.onPreview = () => ({ touched: [{ state: JobState.RUNNING, jobs: 2 }], touchedTotal: 2 });
  room.setBulk({
    ...{ id: "b-3", actor: { name: "raj" }, command: plainCommand("cancel"), jobsTotal: 4, createdAtUs: nowUs() },
    ...{ state: BulkState.HELD, heldUntilUs: nowUs() + 60_000_000n },
  });
  await open("/?state=running,failed&label=&sort=name", width);
  await shows("a", "b", "z");
  await userEvent.keyboard("jxJ");
  await until(() => bar() !== null && strips().length === 1);
  expect(await axeFaults()).toEqual([]);
  await userEvent.keyboard("c");
  await until(() => document.querySelector("dialog") !== null);
  expect(await axeFaults()).toEqual([]);
});
