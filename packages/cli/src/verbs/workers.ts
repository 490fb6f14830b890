import { WorkerLinkState, type WorkerRecord, type WorkerVitals } from "@signalbox/protocol";
import { bytes, clock, duration, unknown } from "@signalbox/protocol/format";
import { exitCodes } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { workerJson } from "../json.ts";
import { LiveTable } from "../live-table.ts";
import type { Output, Style } from "../output.ts";
import { sanitise } from "../sanitise.ts";
import { tableLines, type Column } from "../table.ts";
import { linkWords, watch, type Followed } from "../watch.ts";

export interface WorkersOptions {
  readonly watch?: boolean;
  /** Nothing is cut to the width of the terminal. */
  readonly wide?: boolean;
}

interface KnownWorker {
  readonly worker: WorkerRecord;
  readonly vitals: WorkerVitals | undefined;
}

/** Lists workers by name: how they are heard, what they run. */
export async function workers(invocation: Invocation, options: WorkersOptions): Promise<number> {
  const { out } = invocation;
  if (options.watch) return watchWorkers(invocation, options);
  const room = await invocation.room();
  const answer = await room.call("", () => room.jobs.listWorkers({}));
  const known = answer.workers.map((worker) => ({
    worker,
    vitals: answer.vitals.find(({ workerId }) => workerId === worker.workerId),
  }));
  if (out.json) for (const { worker, vitals } of known) await out.object(workerJson(worker, vitals));
  else if (known.length === 0) out.note("No workers are known.");
  else await out.line(workerTable(out, known, options.wide ?? false).join("\n"));
  return exitCodes.ok;
}

async function watchWorkers(invocation: Invocation, options: WorkersOptions): Promise<number> {
  const { out, signal } = invocation;
  const room = await invocation.room();
  const records = new Map<string, WorkerRecord>();
  const vitals = new Map<string, WorkerVitals>();
  const followed: Followed = {
    id: "workers",
    kind: { case: "workers", value: { $typeName: "signalbox.v1.WorkersSubscription" } },
    cursor: new Uint8Array(),
  };
  const known = () =>
    [...records.values()]
      .sort((a, b) => (a.workerId < b.workerId ? -1 : 1))
      .map((worker) => ({ worker, vitals: vitals.get(worker.workerId) }));
  const table = new LiveTable(out, () => workerTable(out, known(), options.wide ?? false));
  for await (const event of watch(room, [followed], signal)) {
    if (event.kind !== "message") {
      out.note(linkWords(event));
      continue;
    }
    const { message } = event;
    if (message.case === "reset") records.clear();
    else if (message.case === "workerVitals") for (const each of message.value.vitals) vitals.set(each.workerId, each);
    else if (message.case === "workers") {
      for (const id of message.value.gone) records.delete(id);
      for (const worker of message.value.records) {
        records.set(worker.workerId, worker);
        if (table.isLive) continue;
        const each = { worker, vitals: vitals.get(worker.workerId) };
        if (out.json) await out.object(workerJson(worker, each.vitals));
        else await out.line(workerTable(out, [each], true)[1] ?? "");
      }
    }
    table.changed();
  }
  return exitCodes.ok;
}

/** Gives a worker no more work, until it is lifted. */
export async function drain(
  invocation: Invocation,
  workerId: string,
  { stop, reason }: { readonly stop?: boolean; readonly reason?: string },
): Promise<number> {
  const room = await invocation.room();
  const request = { workerId, stop: stop ?? false, reason: reason ?? "" };
  const { worker } = await room.call("Not drained", () => room.jobs.drainWorker(request));
  return reportWorker(
    invocation,
    worker,
    stop ? "gets no more work, releases what runs and exits" : "gets no more work; what runs goes on",
  );
}

/** Lets a worker have work again. */
export async function undrain(invocation: Invocation, workerId: string): Promise<number> {
  const room = await invocation.room();
  const { worker } = await room.call("Still drained", () => room.jobs.undrainWorker({ workerId }));
  return reportWorker(invocation, worker, "gets work again");
}

async function reportWorker({ out }: Invocation, worker: WorkerRecord | undefined, what: string): Promise<number> {
  if (worker && out.json) await out.object(workerJson(worker, undefined));
  else if (worker) await out.line(`${sanitise(worker.workerId)}: ${what}`);
  return exitCodes.ok;
}

type WorkerWord = "Connected" | "Silent" | "Lost" | "Draining" | "Left";

const styles: Readonly<Record<WorkerWord, Style>> = {
  Connected: "green",
  Silent: "yellow",
  Lost: ["red", "bold"],
  Draining: "yellow",
  Left: "dim",
};

/** What to call a worker's state: what was heard of it goes before what was asked of it. */
function workerWord({ worker, vitals }: KnownWorker): WorkerWord {
  if (worker.leftAtUs > 0n) return "Left";
  if (vitals?.link?.state === WorkerLinkState.LOST) return "Lost";
  if (!vitals?.connected || vitals.link?.state !== WorkerLinkState.CONNECTED) return "Silent";
  return worker.drain ? "Draining" : "Connected";
}

function workerTable(out: Output, known: readonly KnownWorker[], wide: boolean): string[] {
  const nowMs = Date.now();
  return tableLines<KnownWorker>(
    [
      {
        title: "WORKER",
        cell: ({ worker }) => sanitise(worker.workerId),
        shrinkTo: 12,
        style: (text) => out.paint("bold", text),
      },
      { title: "STATE", cell: workerWord, style: (text, each) => out.paint(styles[workerWord(each)], text) },
      {
        title: "JOBS",
        cell: ({ worker, vitals }) => `${vitals?.attempts.length ?? 0}/${worker.slots}`,
        align: "right",
      },
      { title: "TYPES", cell: ({ worker }) => sanitise(worker.jobTypes.join(" ")), shrinkTo: 8 },
      { title: "HEARD", cell: ({ worker, vitals }) => heardWords(worker, vitals, nowMs), align: "right" },
      {
        title: "ROUND TRIP",
        cell: ({ vitals }) =>
          vitals?.link?.roundTripUs ? `${(vitals.link.roundTripUs / 1000).toFixed(1)}\u00a0ms` : unknown,
        align: "right",
      },
      {
        title: "BUFFERED",
        cell: ({ vitals }) => heldWords(vitals),
        align: "right",
      },
      {
        title: "BREAKS",
        cell: ({ vitals }) => (vitals?.link ? String(vitals.link.reconnects) : unknown),
        align: "right",
      },
      ...(wide ? linkColumns : []),
      { title: "AGENT", cell: ({ worker }) => sanitise(worker.agent), shrinkTo: 8 },
      {
        title: "LABELS",
        cell: ({ worker }) =>
          Object.entries({ ...worker.labels, ...worker.metadata })
            .map(([key, value]) => sanitise(`${key}=${value}`))
            .join(" "),
        shrinkTo: 8,
      },
    ],
    known,
    wide ? undefined : out.columns,
    (text) => out.paint("dim", text),
  );
}

/** How its process reaches the server: what only those want to see who look for a fault. */
const linkColumns: readonly Column<KnownWorker>[] = [
  { title: "ADDRESS", cell: ({ vitals }) => sanitise(vitals?.link?.address ?? "") || unknown },
  { title: "LAST BREAK", cell: ({ vitals }) => sanitise(vitals?.link?.lastBreak ?? "") || unknown },
];

/** What it holds that is not stored: in memory, and of it on its disk, as far as it has a spool. */
function heldWords(vitals: WorkerVitals | undefined): string {
  const { link } = vitals ?? {};
  if (!link) return unknown;
  const held = bytes(Number(link.bufferedBytes));
  if (link.spoolBytes === 0n) return held;
  const isFull = link.spoolLimitBytes > 0n && link.spoolBytes >= link.spoolLimitBytes;
  return `${held} (${bytes(Number(link.spoolBytes))} on disk${isFull ? ", full" : ""})`;
}

function heardWords(worker: WorkerRecord, vitals: WorkerVitals | undefined, nowMs: number): string {
  if (worker.leftAtUs > 0n) return `left ${clock(Number(worker.leftAtUs), nowMs)}`;
  const heardUs = vitals?.link?.heardAtUs ?? 0n;
  return heardUs > 0n ? `${duration(nowMs - Number(heardUs) / 1000)} ago` : unknown;
}
