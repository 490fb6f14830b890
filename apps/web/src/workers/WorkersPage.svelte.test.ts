import axe from "axe-core";
import { Code, ConnectError } from "@connectrpc/connect";
import { JobState, RunMode, WorkerLinkState } from "@signalbox/protocol";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { page, userEvent } from "vitest/browser";
import { render } from "vitest-browser-svelte";
import App from "../App.svelte";
import { Session } from "../auth/session.svelte.ts";
import { jobRecord, runValue } from "../jobs/samples.ts";
import { TestRoom } from "../test-room.ts";
import { attemptOf, workerRecord, workerVitals } from "./samples.ts";
import "../ui/tokens.css";
import "../ui/base.css";

let room: TestRoom;
const started = location.pathname + location.search;
/** Waits for a condition; a busy machine may take its time. */
const until = <T>(condition: () => T) => vi.waitUntil(condition, { timeout: 10_000, interval: 20 });
const words = (element: Element | null | undefined) => element?.textContent?.replaceAll(/\s+/g, " ").trim() ?? "";
const row = (id: string) => document.querySelector(`tr[data-worker="${id}"]`);
const heads = () => [...document.querySelectorAll("tbody tr.pool")].map(words);
const panel = () => document.querySelector("aside");

beforeEach(async () => {
  await page.viewport(1440, 800);
  document.documentElement.style.height = document.body.style.height = "100%";
  document.documentElement.dataset["theme"] = "dark";
  room = new TestRoom();
});
afterEach(() => history.replaceState(null, "", started));

async function open(path = "/workers"): Promise<void> {
  history.replaceState(null, "", path);
  const target = document.createElement("div");
  target.style.height = "800px";
  document.body.append(target);
  await render(App, { target, props: { transport: room.transport, session: new Session() } });
}

type RecordInit = NonNullable<Parameters<typeof workerRecord>[0]>;
type VitalsInit = NonNullable<Parameters<typeof workerVitals>[1]>;

/** A worker that was heard `agoMs` ago. */
function setWorker(workerId: string, record: RecordInit = {}, vitals: VitalsInit = {}, agoMs = 1_000): void {
  room.setWorkers(workerRecord({ connectedAtUs: BigInt(Date.now() * 1000), ...record, workerId }));
  setVitals(workerId, vitals, agoMs);
}

function setVitals(workerId: string, vitals: VitalsInit = {}, agoMs = 1_000): void {
  room.setWorkerVitals(workerVitals(Date.now() - agoMs, { ...vitals, workerId }));
}

const link = (state: WorkerLinkState, agoMs: number) => ({
  link: { state, heardAtUs: BigInt((Date.now() - agoMs) * 1000) },
});
const gpu = { labels: { pool: "gpu", zone: "a" } };
const byAna = () => ({ drain: { actor: { name: "ana" }, atUs: BigInt(Date.now() * 1000), reason: "disk swap" } });
const sections = (id: string) =>
  [...(row(id)?.querySelectorAll(".section") ?? [])].map((section) => section.className.split(" ")[1]);

describe("the workers page", () => {
  test("groups workers by pool, each with its sentence; programs recede, and who left is folded away", async () => {
    const pool = { ...gpu, jobTypes: ["embed"] };
    setWorker("gpu-1", pool, { attempts: [attemptOf("a"), attemptOf("b")] });
    setWorker("gpu-2", pool, { attempts: [attemptOf("c"), attemptOf("d")] });
    setWorker("alone");
    setWorker("run-1", { transient: true, jobTypes: ["run"], slots: 1 }, { attempts: [attemptOf("npm test")] });
    room.setWorkers(workerRecord({ workerId: "old", leftAtUs: 1n }));
    for (const [id, type] of [
      ["x", "embed"],
      ["y", "embed"],
      ["z", "render"],
    ] as const)
      room.setJob(jobRecord({ id, type, state: JobState.QUEUED, queuedAtUs: BigInt((Date.now() - 220_500) * 1000) }));
    await open();
    await until(() => row("gpu-1"));
    const [render, first, none, programs, gone] = heads();
    expect(render).toMatch(/^type ?render 1 job waits, no worker offers it · oldest 3 m 4\d s$/);
    expect(first).toMatch(/^pool ?gpu 4 of 4 slots busy, 2 jobs wait · oldest 3 m 4\d s$/);
    expect(none).toBe("No pool 0 of 2 slots busy, nobody waits");
    expect(programs).toBe("signalbox run 1 program, each a worker of its own while it runs");
    expect(gone).toMatch(/^Gone 1 worker left/);
    expect(words(row("gpu-1"))).toContain("Connected");
    expect(row("run-1")?.className).toContain("receding");
    expect(row("old")).toBeNull();
    await userEvent.click(page.getByRole("button", { name: "Show" }));
    await until(() => words(row("old")).includes("Left"));
    expect(location.search).toBe("?gone=shown");
  });

  test("slots are sections of track that lead to their jobs and stay where they are when others end", async () => {
    room.setJob(
      jobRecord({
        id: "b",
        name: "b",
        state: JobState.RUNNING,
        spec: { generation: 2n, levers: [{ generation: 2n, value: runValue(RunMode.PAUSE) }] },
        attempts: [{ number: 1, workerId: "w" }],
      }),
    );
    const jobs = [attemptOf("a"), attemptOf("b"), attemptOf("c", JobState.QUEUED)];
    setWorker("w", { slots: 4 }, { attempts: jobs });
    await open();
    await until(() => sections("w").join() === "occupied,between,between,free");
    expect(words(row("w"))).toContain("b (pausing), c (starting)");
    expect(row("w")?.querySelector("a.section")?.getAttribute("href")).toBe("/jobs/a");
    setVitals("w", { attempts: jobs.slice(1) });
    await until(() => sections("w").join() === "free,between,between,free");
    setWorker("w", { slots: 4, ...byAna() }, { attempts: jobs.slice(1) });
    await until(() => sections("w").join() === "closed,between,between,closed");
  });

  test("a worker that is not heard says for how long, and when it is lost", async () => {
    setWorker("w", {}, { ...link(WorkerLinkState.SILENT, 11_000), attempts: [attemptOf("a")] });
    setWorker("closed", {}, { ...link(WorkerLinkState.CONNECTED, 3_000), connected: false });
    await open();
    await until(() => /Silent.*silent for 1[1-4] s, lost in [1-4] s · a/.test(words(row("w"))));
    expect(words(row("closed"))).toMatch(/Silent.*link closed, heard \d s ago, lost in 1\d s/);
    await until(() => document.title.startsWith("◌ 2 silent or lost, Workers"));
    setVitals("w", {
      ...link(WorkerLinkState.LOST, 75_000),
      connected: false,
      attempts: [attemptOf("a", JobState.LOST)],
    });
    await until(() => /Lost.*lost for 1 m 0\d s, since \d\d:\d\d:\d\d · a/.test(words(row("w"))));
    expect(sections("w")).toEqual(["lost", "closed"]);
  });

  test.each([1200, 1440, 1640])("what a lost worker ran can be read at %i px", async (width) => {
    await page.viewport(width, 800);
    setWorker(
      "run-1",
      { transient: true, slots: 1 },
      {
        ...link(WorkerLinkState.LOST, 75_000),
        connected: false,
        attempts: [attemptOf("nightly-docs-index", JobState.LOST)],
      },
    );
    await open();
    const name = await until(() => row("run-1")?.querySelector(".jobs a"));
    const cell = row("run-1")?.querySelector(".jobs")?.getBoundingClientRect();
    expect(words(row("run-1"))).toMatch(/lost for 1 m 0\d s, since/);
    expect(name?.getBoundingClientRect().right).toBeLessThanOrEqual(cell?.right ?? 0);
  });

  test("a worker's link is told in its details, and a spool that is nearly full in the table, too", async () => {
    const spool = { bufferedBytes: 912_000_000n, spoolBytes: 910_000_000n, spoolLimitBytes: 1_073_741_824n };
    const state = { state: WorkerLinkState.CONNECTED, heardAtUs: BigInt(Date.now() * 1000) };
    const broken = { reconnects: 1, lastBreak: "the server closed the connection", address: "10.0.0.7:9090" };
    setWorker("full", {}, { link: { ...state, ...spool, ...broken } });
    setWorker("calm", {}, { link: { ...state, bufferedBytes: 1_200n, spoolLimitBytes: 1_073_741_824n } });
    await open("/workers?worker=full");
    const cell = (id: string) => [...(row(id)?.querySelectorAll("td.number") ?? [])].at(-1) as HTMLElement | undefined;
    await until(() => words(cell("full")) === "912 MB, 84 %");
    expect(cell("full")?.dataset["tone"]).toBe("wait");
    expect([words(cell("calm")), cell("calm")?.dataset["tone"]]).toEqual(["1.2 kB", undefined]);
    expect(words(panel())).toMatch(
      /Server 10\.0\.0\.7:9090 Reconnects lost its link once: the server closed the connection Buffered 912 MB Spool 910 MB of 1\.1 GB, 84\.8 %: when it is full, jobs wait or lines are dropped/,
    );
    setWorker("full", { leftAtUs: BigInt(Date.now() * 1000) });
    await until(() => words(panel()).includes("Left") && !words(panel()).includes("Spool"));
  });

  test("Drain acts at once; the lamp says Draining when the server says so; Undrain takes it back", async () => {
    setWorker("w", gpu, { attempts: [attemptOf("a")] });
    await open();
    let answer = () => {};
    const answered = new Promise<void>((resolve) => (answer = resolve));
    room.onDrain = async () => {
      await answered;
      room.setWorkers(workerRecord({ ...gpu, workerId: "w", ...byAna() }));
    };
    await userEvent.click(page.getByRole("button", { name: "Drain w" }));
    await until(() => words(row("w")).includes("Draining…"));
    expect(words(row("w")?.querySelector(".state"))).toBe("Connected");
    answer();
    await until(() => words(row("w")?.querySelector(".state")) === "Draining");
    expect(words(row("w"))).toContain("1 job to end · a");
    expect(room.drains).toMatchObject([{ workerId: "w", stop: false, reason: "" }]);
    room.onDrain = () => room.setWorkers(workerRecord({ ...gpu, workerId: "w" }));
    await userEvent.click(page.getByRole("button", { name: "Undrain w" }));
    await until(() => words(row("w")?.querySelector(".state")) === "Connected");
  });

  test("the key d asks for a reason in place, Escape leaves things as they are, and d undrains", async () => {
    setWorker("a");
    setWorker("b");
    await open();
    await until(() => row("b"));
    await userEvent.keyboard("jjd");
    await expect.element(page.getByRole("textbox", { name: /^Drain b/ })).toHaveFocus();
    await userEvent.keyboard("{Escape}");
    expect(page.getByRole("textbox", { name: /^Drain/ }).query()).toBeNull();
    expect(room.drains).toHaveLength(0);
    room.onDrain = () => room.setWorkers(workerRecord({ workerId: "b", ...byAna() }));
    await userEvent.keyboard("d");
    await userEvent.keyboard("disk swap{Enter}");
    await until(() => words(row("b")).includes("Draining"));
    expect(room.drains).toMatchObject([{ workerId: "b", reason: "disk swap" }]);
    room.onDrain = () => room.setWorkers(workerRecord({ workerId: "b" }));
    await userEvent.keyboard("d");
    await until(() => words(row("b")).includes("Connected"));
  });

  test("what is refused is said in the row", async () => {
    setWorker("w");
    room.onDrain = () => {
      throw new ConnectError("There is no such worker.", Code.NotFound);
    };
    await open();
    await userEvent.click(page.getByRole("button", { name: "Drain w" }));
    await until(() => words(row("w")).includes("Not drained. There is no such worker."));
  });

  test("Drain and stop says what happens, asks, and waits for the process to leave", async () => {
    setWorker("w", {}, { attempts: [attemptOf("a"), attemptOf("b")] });
    await open("/workers?worker=w");
    await userEvent.click(page.getByRole("button", { name: "Drain and stop…" }));
    await until(() => words(panel()).includes("This ends the process. 2 jobs are released and queue again."));
    await expect.element(page.getByRole("button", { name: "Keep it" })).toHaveFocus();
    await userEvent.keyboard("{Escape}");
    expect(words(panel())).not.toContain("This ends the process");
    await userEvent.click(page.getByRole("button", { name: "Drain and stop…" }));
    await userEvent.click(page.getByRole("button", { name: "Drain and stop", exact: true }));
    await until(() => words(panel()).includes("waits for the worker"));
    expect(room.drains).toMatchObject([{ workerId: "w", stop: true }]);
    room.setWorkers(workerRecord({ workerId: "w", leftAtUs: BigInt(Date.now() * 1000) }));
    await until(() => words(panel()).includes("Left"));
    expect(words(panel())).not.toContain("waits for the worker");
  });

  test("details tell all of a worker, follow the cursor, and are in the URL", async () => {
    setWorker(
      "a",
      {
        epoch: 3n,
        labels: { pool: "gpu", zone: "eu-1" },
        metadata: { pod_name: "p-7", namespace: "jobs" },
        ...byAna(),
      },
      { clockOffsetUs: 2_500_000n, attempts: [attemptOf("nightly")] },
    );
    setWorker("b", { labels: { pool: "gpu" } });
    await open();
    await until(() => row("b"));
    await userEvent.keyboard("j{Enter}");
    await until(() => panel());
    expect(location.search).toBe("?worker=a");
    const text = words(panel());
    for (const part of [
      "Draining 1 job to end",
      "drained by ana",
      "“disk swap”",
      "1 of 2 slots busy, 1 closed",
      "Running nightly",
      "Round trip 2.1 ms",
      "Buffered 0 B",
      "2.5 s behind",
      "signalbox-node/0.1.0",
      "3, restarted 2 times",
      "Offers index",
      "zone eu-1",
      "pod_name p-7",
      "namespace jobs",
    ])
      expect(text).toContain(part);
    await userEvent.keyboard("j");
    await until(() => location.search === "?worker=b" && words(panel()).startsWith("b"));
    await userEvent.keyboard("{Escape}");
    await until(() => !panel());
    expect(location.search).toBe("");
  });

  test("a program of signalbox run cannot be drained, and is gone when it is forgotten", async () => {
    setWorker("run-1", { transient: true, slots: 1 });
    await open("/workers?worker=run-1");
    await until(() => words(panel()).includes("to stop it, cancel its job"));
    expect(page.getByRole("button", { name: /Drain/ }).query()).toBeNull();
    room.forgetWorker("run-1");
    await until(() => words(panel()).includes("No worker run-1"));
  });

  test("views and words narrow the list and are in the URL; sentences stay those of the whole pool", async () => {
    setWorker("gpu-1", gpu, { attempts: [attemptOf("nightly")] });
    setWorker("gpu-2", { ...gpu, ...byAna() });
    await open();
    await until(() => row("gpu-2"));
    await userEvent.click(page.getByRole("link", { name: /Draining/ }));
    await until(() => !row("gpu-1"));
    expect(heads()[0]).toContain("1 of 2 slots busy, nobody waits · 1 draining");
    await userEvent.keyboard("/");
    await userEvent.keyboard("nightly");
    await until(() => words(document.querySelector(".none")).startsWith("0 of 2 workers"));
    expect(location.search).toBe("?view=draining&q=nightly");
    await userEvent.click(page.getByRole("link", { name: "Show all" }));
    await until(() => row("gpu-1") && row("gpu-2"));
  });

  test("rows stand still while the pointer is among them; what is new waits to be shown", async () => {
    setWorker("b");
    await open();
    await until(() => row("b"));
    await userEvent.hover(page.getByRole("link", { name: "b" }));
    setWorker("a");
    await userEvent.click(page.getByRole("button", { name: "1 new, show" }));
    await until(() => row("a"));
  });

  test("while the page is not live clocks stand and nothing can be drained", async () => {
    setWorker("w", {}, {}, 500);
    await open();
    await until(() => row("w"));
    room.cut();
    await expect.element(page.getByText(/No word from the server/)).toBeVisible();
    expect(page.getByRole("button", { name: "Drain w" }).query()).toBeNull();
    await userEvent.keyboard("jd");
    expect(page.getByRole("textbox", { name: /^Drain/ }).query()).toBeNull();
    const seen = words(row("w"));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(words(row("w"))).toBe(seen);
    expect(words(row("w"))).toContain("Connected");
  });

  test("a thousand workers are a screen of rows, with the pool's head above those further down", async () => {
    const ids = Array.from({ length: 1000 }, (_, i) => `node-${i}`);
    room.setWorkers(...ids.map((workerId) => workerRecord({ ...gpu, workerId })));
    room.setWorkerVitals(...ids.map((workerId) => workerVitals(Date.now(), { workerId })));
    await open();
    await until(() => words(document.querySelector("nav[aria-label=Views]")).includes("All 1,000"));
    expect(document.querySelectorAll("tr[data-worker]").length).toBeLessThan(60);
    page.getByRole("region", { name: "Workers" }).element().scrollTop = 20_000;
    await until(() => row("node-560"));
    expect(document.querySelectorAll("tr[data-worker]").length).toBeLessThan(60);
    expect(words(document.querySelector(".stuck"))).toMatch(/^pool ?gpu/);
    await userEvent.keyboard("k");
    await until(() => row("node-999")?.classList.contains("cursor"));
  });

  test("beats move nothing but numbers", async () => {
    for (let i = 0; i < 30; i++) setWorker(`w-${i}`, gpu, { attempts: [attemptOf(`job-${i}`)] });
    await open();
    await until(() => row("w-9"));
    const places = () =>
      [...document.querySelectorAll("tr[data-worker] td")].map((cell) => {
        const { x, y, width } = cell.getBoundingClientRect();
        return [x, y, width].join();
      });
    const before = places();
    for (let i = 0; i < 30; i++)
      setVitals(`w-${i}`, {
        attempts: [attemptOf(`job-${i}`)],
        link: {
          state: WorkerLinkState.CONNECTED,
          heardAtUs: BigInt(Date.now() * 1000),
          roundTripUs: 987_654,
          bufferedBytes: 48_123_456n,
        },
      });
    await until(() => words(row("w-9")).includes("48.1 MB"));
    expect(places()).toEqual(before);
  });

  test("g w comes here, and ? lists the keys", async () => {
    setWorker("w");
    await open("/");
    await userEvent.keyboard("gw");
    await until(() => row("w"));
    expect(location.pathname).toBe("/workers");
    await userEvent.keyboard("?");
    await until(() => words(document.querySelector("dialog")).includes("drain (asks why), undrain"));
  });

  test("without any worker it says how to start one", async () => {
    await open();
    await expect.element(page.getByText("No worker has been here yet")).toBeVisible();
    await expect.element(page.getByText("signalbox run -- ./nightly.sh")).toBeVisible();
    setWorker("first");
    await until(() => row("first"));
  });
});

describe.each(["dark", "light"])("axe finds nothing in %s", (theme) => {
  async function faults(): Promise<string[]> {
    const { violations } = await axe.run(document.body, {
      runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    });
    return violations.flatMap((violation) =>
      violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)} ${node.failureSummary ?? ""}`),
    );
  }

  beforeEach(() => {
    document.documentElement.dataset["theme"] = theme;
    setWorker(
      "connected",
      { ...gpu, slots: 4, metadata: { node: "n-1" } },
      {
        attempts: [attemptOf("a"), attemptOf("b", JobState.QUEUED)],
        link: { state: WorkerLinkState.CONNECTED, heardAtUs: BigInt(Date.now() * 1000), bufferedBytes: 64_000_000n },
      },
    );
    setWorker("many", { ...gpu, slots: 40 }, { attempts: [attemptOf("c"), attemptOf("d", JobState.QUEUED)] });
    setWorker("draining", { ...gpu, ...byAna() }, { attempts: [attemptOf("e")] });
    setWorker("silent", gpu, { ...link(WorkerLinkState.SILENT, 11_000), attempts: [attemptOf("f")] });
    setWorker("lost", gpu, {
      ...link(WorkerLinkState.LOST, 90_000),
      connected: false,
      attempts: [attemptOf("g", JobState.LOST)],
    });
    setWorker("run-1", { transient: true, slots: 1 }, { attempts: [attemptOf("npm test")] });
    room.setWorkers(workerRecord({ workerId: "old", leftAtUs: 1n }));
    room.setJob(jobRecord({ id: "z", type: "render", state: JobState.QUEUED }));
  });

  test("on workers in every state, with the question and the details", async () => {
    await open("/workers?gone=shown");
    await until(() => row("old"));
    expect(await faults()).toEqual([]);
    await userEvent.keyboard("jd");
    expect(await faults()).toEqual([]);
    await userEvent.keyboard("{Escape}{Enter}");
    await userEvent.click(page.getByRole("button", { name: "Drain and stop…" }));
    expect(await faults()).toEqual([]);
    room.cut();
    await expect.element(page.getByText(/No word from the server/)).toBeVisible();
    expect(await faults()).toEqual([]);
  });

  test("on a phone", async () => {
    await page.viewport(360, 740);
    await open();
    await until(() => row("lost"));
    expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
    expect(await faults()).toEqual([]);
    await userEvent.click(page.getByRole("link", { name: "draining" }));
    await until(() => words(panel()).includes("Undrain"));
    expect(document.documentElement.scrollWidth).toBeLessThanOrEqual(360);
    expect(await faults()).toEqual([]);
    await userEvent.click(page.getByRole("button", { name: "Workers" }));
    await until(() => !panel());
  });
});
