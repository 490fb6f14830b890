import {
  EndOutcomeSchema,
  LeverOutcome,
  ReceiptStateSchema,
  type Attempt,
  type JobRecord,
  type LateEvidence,
  type LeverValue,
  type Receipt,
  type Vitals,
} from "@signalbox/protocol";
import { bytes, clock, duration, exact, moment, plural, step, unknown } from "@signalbox/protocol/format";
import { seenState, type LeverName } from "@signalbox/protocol/job-state";
import { exitCodes } from "../exit-codes.ts";
import type { Invocation } from "../invocation.ts";
import { policyFacts } from "../job-policies.ts";
import { enumWord, jobJson } from "../json.ts";
import { leverWords, valueWords } from "../lever-values.ts";
import { resolveJob } from "../resolve-job.ts";
import { resultWords } from "../results.ts";
import { sanitise } from "../sanitise.ts";
import { tableLines, type Column } from "../table.ts";
import { paintState, progressWords } from "./jobs.ts";

const leverOrder: readonly LeverName[] = ["run", "speed", "logLevel", "priority", "parameters"];

/** Shows one job: what it does, its levers asked and observed, its commands with their receipts, its attempts. */
export async function job(invocation: Invocation, ref: string): Promise<number> {
  const { out } = invocation;
  const found = await resolveJob(await invocation.room(), ref);
  if (out.json) {
    await out.object(jobJson(found));
    return exitCodes.ok;
  }
  const { job, vitals } = found;
  const nowMs = Date.now();
  const title = (text: string) => out.paint("dim", text);
  const facts: [string, string][] = [
    ["Name", sanitise(job.name)],
    ["State", [paintState(out, job), reasonBeside(seenState(job).word, job.reason)].filter(Boolean).join("  ")],
    ["Progress", progressWords(found, nowMs)],
    ["Type", sanitise(job.type)],
    ["Worker", sanitise(job.attempts.at(-1)?.workerId ?? (job.workerId || unknown))],
    [
      "Labels",
      Object.entries(job.labels)
        .map(([key, value]) => sanitise(`${key}=${value}`))
        .join("  ") || unknown,
    ],
    ["Started", startedWords(job)],
  ];
  facts.push(...policyFacts(job));
  if (job.endedAtUs > 0n)
    facts.push([
      "Ended",
      `${moment(Number(job.endedAtUs))} after ${duration(Number(job.endedAtUs - (job.startedAtUs || job.createdAtUs)) / 1000)}`,
    ]);
  if (vitals) facts.push(["Log", logWords(vitals)]);
  if (vitals && (vitals.inputEnd > 0n || vitals.inputClosed))
    facts.push([
      "Input",
      `${bytes(Number(vitals.inputTaken))} of ${bytes(Number(vitals.inputEnd))} taken${vitals.inputClosed ? ", ended" : ""}`,
    ]);
  const results = resultWords(job.attempts.at(-1)?.end?.results ?? vitals?.results, true);
  if (results) facts.push(["Results", results]);
  for (const late of job.late) facts.push(["Late", lateWords(late)]);
  const width = Math.max(...facts.map(([name]) => name.length));
  const lines = [
    out.paint("bold", job.id),
    ...facts.map(([name, value]) => `  ${title(name.padEnd(width))}  ${value}`),
  ];
  const section = <Row>(columns: Column<Row>[], rows: Row[]) => {
    if (rows.length > 0)
      lines.push(
        "",
        ...tableLines(columns, rows, out.columns === undefined ? undefined : out.columns - 2, title).map(
          (line) => `  ${line}`,
        ),
      );
  };
  section(
    leverColumns(job),
    leverOrder.filter((lever) => job.spec?.levers.some((each) => each.value?.value.case === lever)),
  );
  section(receiptColumns(nowMs), job.receipts);
  section(attemptColumns(nowMs), job.attempts);
  await out.line(lines.join("\n"));
  return exitCodes.ok;
}

/** What came of an attempt after it had ended for the room. */
function lateWords({ attempt, firstLine, end }: LateEvidence): string {
  const lines = firstLine > 0n ? [`lines from ${exact(Number(firstLine))} on`] : [];
  const said = [];
  if (end) {
    const word = enumWord(EndOutcomeSchema, end.outcome);
    const reason = reasonBeside(word, end.reason);
    said.push(`its worker says ${word}${reason && `: ${reason}`}`);
  }
  return `attempt ${attempt}, after it was given up: ${[...lines, ...said].join("; ")}`;
}

function logWords({ lines, logBytes, redactions }: Vitals): string {
  const masked = redactions > 0n ? [`${plural(Number(redactions), "secret")} masked`] : [];
  return [plural(Number(lines), "line"), bytes(Number(logBytes)), ...masked].join(", ");
}

function leverColumns(job: JobRecord): Column<LeverName>[] {
  const reports = job.attempts.at(-1)?.levers ?? [];
  const words = (value: LeverValue | undefined) => (value ? sanitise(valueWords(value)) : unknown);
  const asked = (lever: LeverName) => job.spec?.levers.find((each) => each.value?.value.case === lever);
  const seen = (lever: LeverName) =>
    reports.find((each) => each.value?.value.case === lever && each.outcome !== LeverOutcome.REJECTED);
  const note = (lever: LeverName) => {
    const hold = asked(lever)?.hold;
    const refused = reports.find((each) => each.value?.value.case === lever && each.outcome === LeverOutcome.REJECTED);
    if (refused) return `refused ${words(refused.value)}: ${sanitise(refused.reason)}`;
    return hold?.then ? `for ${duration(Number(hold.durationMs))}, then ${words(hold.then)}` : "";
  };
  return [
    { title: "LEVER", cell: (lever) => leverWords[lever] },
    { title: "ASKED", cell: (lever) => words(asked(lever)?.value), shrinkTo: 12 },
    { title: "OBSERVED", cell: (lever) => words(seen(lever)?.value), shrinkTo: 12 },
    { title: "NOTE", cell: note, shrinkTo: 12 },
  ];
}

function receiptColumns(nowMs: number): Column<Receipt>[] {
  const since = ({ acceptedAtUs }: Receipt, us: bigint) => (us > 0n ? step(Number(us - acceptedAtUs) / 1000) : unknown);
  return [
    {
      title: "COMMAND",
      cell: (each) =>
        each.value ? sanitise(`${leverWords[each.value.value.case ?? "run"]} ${valueWords(each.value)}`) : unknown,
      shrinkTo: 16,
    },
    { title: "BY", cell: ({ actor }) => sanitise(actor?.name ?? unknown), shrinkTo: 6 },
    { title: "AT", cell: ({ acceptedAtUs }) => clock(Number(acceptedAtUs), nowMs) },
    { title: "RECEIPT", cell: ({ state }) => enumWord(ReceiptStateSchema, state) },
    { title: "DELIVERED", cell: (each) => since(each, each.deliveredAtUs), align: "right" },
    { title: "DECIDED", cell: (each) => since(each, each.decidedAtUs), align: "right" },
    { title: "LINE", cell: ({ atLine }) => (atLine > 0n ? exact(Number(atLine)) : unknown), align: "right" },
    { title: "REASON", cell: receiptReason, shrinkTo: 12 },
  ];
}

/** Why a command was given, and why it was refused. */
function receiptReason({ value, reason }: Receipt): string {
  const given = value?.value.case === "run" ? value.value.value.reason : "";
  return [given, reason]
    .filter(Boolean)
    .map((each) => sanitise(each))
    .join("; ");
}

function attemptColumns(nowMs: number): Column<Attempt>[] {
  return [
    { title: "ATTEMPT", cell: ({ number }) => String(number), align: "right" },
    { title: "WORKER", cell: ({ workerId }) => sanitise(workerId), shrinkTo: 10 },
    { title: "BEGAN", cell: ({ startedAtUs }) => (startedAtUs > 0n ? clock(Number(startedAtUs), nowMs) : unknown) },
    { title: "ENDED", cell: ({ endedAtUs }) => (endedAtUs > 0n ? clock(Number(endedAtUs), nowMs) : unknown) },
    { title: "OUTCOME", cell: outcomeWord },
    { title: "EXIT", cell: ({ end }) => end?.signal || String(end?.exitCode ?? unknown), align: "right" },
    { title: "REASON", cell: (each) => reasonBeside(outcomeWord(each), each.end?.reason ?? ""), shrinkTo: 12 },
  ];
}

/** A reason, unless it only repeats the word that it stands beside. */
function reasonBeside(word: string, reason: string): string {
  return reason.toLowerCase() === word.toLowerCase() ? "" : sanitise(reason);
}

/** When and by whom. A job that ran while the server was away began before the server heard of it. */
function startedWords({ createdAtUs, startedAtUs, createdBy }: JobRecord): string {
  const by = sanitise(createdBy?.name ?? "");
  if (startedAtUs === 0n || startedAtUs >= createdAtUs) return `${moment(Number(createdAtUs))} by ${by}`;
  return `${moment(Number(startedAtUs))} by ${by}, delivered ${moment(Number(createdAtUs))}`;
}

function outcomeWord({ end, startedAtUs, lostAtUs }: Attempt): string {
  if (!end) return lostAtUs > 0n ? "lost" : startedAtUs > 0n ? "runs" : "starting";
  return enumWord(EndOutcomeSchema, end.outcome);
}
