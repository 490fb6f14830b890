/**
 * A process that makes a large store, for measures of the start. Arguments: the folder, how many bytes of log lines, how many jobs. The
 * jobs have ended, the logs are sealed and belong to them in turn. It says `filled`; then it goes on with one log and with jobs until it
 * is killed, so that the kill finds it in the middle of commits, or closes the store if it is told so with a fourth argument, `close`.
 */
import { create } from "@bufbuild/protobuf";
import {
  ActorKind,
  ActorSchema,
  ChunkBuilder,
  CommandSchema,
  JobTypeSchema,
  RunMode,
  StartJobRequestSchema,
} from "@signalbox/protocol";
import { pino } from "pino";
import { Jobs } from "../jobs/jobs.ts";
import { Logs } from "../logs/logs.ts";
import { openSqliteStore } from "../store/sqlite/open-sqlite-store.ts";

const [folder = "", bytes = "0", count = "0", then = "kill"] = process.argv.slice(2);

const mebibyte = 1024 * 1024;
const chunkBytes = 250_000;
/** How much one log holds. */
const logBytes = 256 * mebibyte;
/** How much is under way at a time. */
const lanes = 16;

const line = `${"INFO 2026-01-01T00:00:00.000Z a line as programs print them, of some length, again and again ".repeat(2).slice(0, 120)}\n`;
const linesOfChunk = Math.floor(chunkBytes / line.length);

function chunk(firstLine: number): Uint8Array {
  const builder = new ChunkBuilder();
  for (let i = 0; i < linesOfChunk; i++) builder.add(Buffer.from(line), { timeUs: 1_760_000_000_000_000 + i });
  return builder.build(firstLine);
}

const actor = create(ActorSchema, { kind: ActorKind.OPERATOR, name: "operator" });
const type = create(JobTypeSchema, { name: "count" });
const cancel = create(CommandSchema, {
  action: { case: "set", value: { value: { case: "run", value: { mode: RunMode.CANCEL } } } },
});
const store = await openSqliteStore({ folder });
const jobs = await Jobs.open(store, pino({ level: "silent" }));
const logs = new Logs(store.journal);

/** Starts a job and cancels it, while it still waits for a worker. */
async function endedJob(requestId: string): Promise<string> {
  const { id } = await jobs.start(create(StartJobRequestSchema, { requestId, type: "count" }), type, actor);
  await jobs.get(id).command(cancel, actor, "cancel");
  return id;
}

async function fill(jobId: string, mostBytes: number): Promise<void> {
  const log = await logs.open(jobId, 1);
  let next = 1;
  const lane = async () => {
    while ((next - 1) * line.length < mostBytes) {
      const first = next;
      next += linesOfChunk;
      await log.append(chunk(first), { incarnation: "filler", clockOffsetUs: 0 });
    }
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  if (mostBytes < Infinity) await logs.seal(jobId, 1, "ended");
}

const ids: string[] = [];
for (let i = 0; i < Math.max(1, Number(count)); i += 500)
  ids.push(
    ...(await Promise.all(
      Array.from({ length: Math.min(500, Number(count) - i) }, (_, k) => endedJob(`fill-${i + k}`)),
    )),
  );
for (let left = Number(bytes), i = 0; left > 0; left -= logBytes, i++)
  await fill(ids[i % ids.length] ?? "j-none", Math.min(left, logBytes));
process.stdout.write("filled\n");
if (then === "close") {
  await store.close();
} else {
  void fill(`j-last${process.pid}`, Infinity);
  for (let i = 0; ; i++) await endedJob(`last-${process.pid}-${i}`);
}
