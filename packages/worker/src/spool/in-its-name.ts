import { statSync } from "node:fs";
import { create, fromBinary } from "@bufbuild/protobuf";
import { AttemptEndSchema, EndOutcome, StartJobRequestSchema, type AttemptEnd } from "@signalbox/protocol";
import type { ConnectConfig } from "../config.ts";
import { defineJob } from "../job.ts";
import type { Redaction } from "../redaction/redact-options.ts";
import { RunningWorker, type LeftWork } from "../running-worker.ts";
import type { LeftAttempt } from "./left-spools.ts";
import type { SpoolConfig } from "./spool-config.ts";
import type { NamedWork } from "./spool-delivery.ts";
import { encodeNote, type SpoolNote } from "./spool-note.ts";
import type { AttemptSpool } from "./worker-spool.ts";

const stopWithinMs = 1000;

/** Where the process would have connected, and what its own worker stands on. */
export interface InItsNameOptions {
  readonly config: Pick<ConnectConfig, "urls" | "findUrls" | "tokenFrom" | "readToken">;
  readonly redaction: Redaction;
  readonly spool: SpoolConfig;
  readonly notice: (message: string) => void;
}

/**
 * Connects in the name of a process that is gone, as its own incarnation, and delivers what it left of an attempt: asks for the job if the
 * server does not know it, then lines and end. Rejects if the server does not take it, or the signal aborts.
 */
export async function deliverInItsName(
  { note, left, files, signal }: NamedWork,
  { config, redaction, spool, notice }: InItsNameOptions,
): Promise<void> {
  const { workerId, incarnation, type } = note;
  // What the parameters are like only the process itself knew.
  const definition = defineJob({ type, pinned: true, parameters: { type: "object" }, run: () => undefined });
  const worker = new RunningWorker(
    {
      jobs: [definition],
      slots: 1,
      transient: true,
      spool: false,
      stopTimeoutMs: stopWithinMs,
      onNotice: notice,
      onLink: () => undefined,
    },
    { ...config, workerId, metadata: {} },
    redaction,
    { incarnation },
  );
  const stop = () => void worker.stop();
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  worker.begin();
  try {
    await worker.deliverLeft(definition, leftWork(note, { left, files }, spool, notice));
  } finally {
    signal.removeEventListener("abort", stop);
    await worker.stop();
  }
}

function leftWork(
  before: SpoolNote,
  { left, files }: Pick<NamedWork, "left" | "files">,
  config: SpoolConfig,
  notice: (message: string) => void,
): LeftWork {
  let note = before;
  const attempt: AttemptSpool = {
    files,
    describe: (part) => {
      note = { ...note, ...part };
      files.noteIs(encodeNote(note));
    },
    open: () => undefined,
    close: () => undefined,
    trouble: () => undefined,
    dropped: () => undefined,
    unreadable: (reason) => notice(`lines of the spool cannot be read: ${reason}`),
  };
  const request =
    note.request === "" ? undefined : fromBinary(StartJobRequestSchema, Buffer.from(note.request, "base64"));
  const { jobId, name } = note;
  return {
    known: jobId === "" ? undefined : { jobId, attempt: note.attempt },
    start: {
      name: request?.name ?? name,
      ...(request ? { requestId: request.requestId, labels: request.labels } : {}),
      ...(request?.parameters ? { parameters: request.parameters } : {}),
    },
    held: left,
    spool: { attempt: () => attempt, config },
    beganAtUs: note.begunAtMs * 1000,
    end:
      note.end === "" ? endOfKilled(lastWritten(left)) : fromBinary(AttemptEndSchema, Buffer.from(note.end, "base64")),
  };
}

/** When the process last wrote something down, milliseconds since the Unix epoch: as long it lived. */
function lastWritten({ segments }: LeftAttempt): number | undefined {
  try {
    return Math.max(...segments.map(({ path }) => statSync(path).mtimeMs));
  } catch {
    return undefined;
  }
}

function endOfKilled(atMs = Date.now()): AttemptEnd {
  return create(AttemptEndSchema, {
    outcome: EndOutcome.FAILED,
    reason: "its process was killed: this is what is left of its output, some of its last lines may be missing",
    atUs: BigInt(Math.round(atMs * 1000)),
  });
}
