import { toJson } from "@bufbuild/protobuf";
import { JobState, VitalsSchema, type JobRecord } from "@signalbox/protocol";
import { bytes, duration } from "@signalbox/protocol/format";
import { seenState } from "@signalbox/protocol/job-state";
import { eta } from "@signalbox/protocol/progress";
import type { InputSource } from "../input-source.ts";
import type { Invocation } from "../invocation.ts";
import type { FoundJob } from "../resolve-job.ts";
import type { Room } from "../room.ts";
import { resultWords } from "../results.ts";
import { sendCommand, sentWords, Upload } from "../upload.ts";
import { followLog } from "./logs.ts";

/** Progress is printed so often as JSON, and drawn so often on a terminal, milliseconds. */
const tellEveryMs = 1000;
const drawEveryMs = 100;

/**
 * Sends an input into a job while its log is printed, until the job has ended: resolves with it then. Goes on over restarts of the server.
 * Throws CliError.
 */
export async function feed(
  invocation: Invocation,
  room: Room,
  job: JobRecord,
  source: InputSource,
): Promise<JobRecord> {
  const { out } = invocation;
  const feeding = new Feeding(invocation, room, job, source);
  const over = new AbortController();
  const signal = AbortSignal.any([invocation.signal, over.signal]);
  const uploading = feeding.upload.run(signal);
  // Whichever of the two fails ends the other.
  const failed = uploading.catch((error: unknown) => {
    if (!signal.aborted) throw error;
    return new Promise<never>(() => undefined);
  });
  try {
    const ended = await Promise.race([followLog({ out, signal }, room, job, {}, (news) => feeding.hear(news)), failed]);
    await feeding.finish();
    return ended;
  } finally {
    over.abort(new Error("the job is not followed any more"));
    await source.close();
  }
}

/** What is told of an upload while it goes on. */
class Feeding {
  readonly upload: Upload;
  readonly #invocation: Invocation;
  readonly #source: InputSource;
  readonly #beganMs = performance.now();
  #found: FoundJob;
  #toldMs = 0;
  #drawnMs = 0;
  #saidLost = false;

  constructor(invocation: Invocation, room: Room, job: JobRecord, source: InputSource) {
    this.#invocation = invocation;
    this.#source = source;
    this.#found = { job, vitals: undefined };
    const goOn = source.isRepeatable ? ` Go on with: ${sendCommand(job.id, source.name)}.` : "";
    invocation.interruptedNote = `The job waits for the rest of its input.${goOn} End it with: signalbox cancel ${job.id}`;
    this.upload = new Upload(room, job, source, {
      onSent: () => this.#draw(),
      onWait: (why, ms) => this.#draw(`${why} for ${duration(ms)}, trying again`),
      onNote: (text) => invocation.out.note(text),
    });
  }

  /** Takes what is new of the job. */
  async hear(news: Partial<FoundJob>): Promise<void> {
    this.#found = { ...this.#found, ...news };
    const { job } = this.#found;
    if (news.job) this.upload.hear(job);
    const isLost = job.state === JobState.LOST;
    if (isLost && !this.#saidLost)
      this.#invocation.out.note(
        `The job's worker is lost. If it does not come back, ${isTriedAgain(job) ? "the server queues another attempt" : `signalbox retry ${job.id} queues another attempt`}.`,
      );
    this.#saidLost = isLost;
    this.#draw();
    if (this.#invocation.out.json && performance.now() - this.#toldMs >= tellEveryMs) await this.#tell();
  }

  /** The job has ended. */
  async finish(): Promise<void> {
    const { out } = this.#invocation;
    const seconds = (performance.now() - this.#beganMs) / 1000;
    const { sent } = this.upload;
    if (out.json) await this.#tell();
    else out.note(`${bytes(sent)} sent in ${duration(seconds * 1000)}, ${bytes(sent / seconds)}/s`);
  }

  async #tell(): Promise<void> {
    this.#toldMs = performance.now();
    const { attempt, sent } = this.upload;
    const { total } = this.#source;
    const { vitals } = this.#found;
    await this.#invocation.out.object({
      input: { attempt, sentBytes: String(sent), ...(total === undefined ? {} : { totalBytes: String(total) }) },
      ...(vitals ? { vitals: toJson(VitalsSchema, vitals) } : {}),
    });
  }

  #draw(instead?: string): void {
    const nowMs = performance.now();
    if (instead === undefined && nowMs - this.#drawnMs < drawEveryMs) return;
    this.#drawnMs = nowMs;
    const { job, vitals } = this.#found;
    const state = seenState(job).word;
    const { sent } = this.upload;
    const { total } = this.#source;
    const words = [
      state === "Running" ? undefined : state,
      `sent ${sentWords(sent, total)}`,
      // Before the results, which may be long: a narrow terminal cuts what comes last.
      instead === undefined ? eta(job, vitals) : undefined,
      instead ?? (vitals && (resultWords(vitals.results, false) || `${bytes(Number(vitals.inputTaken))} taken`)),
    ];
    this.#invocation.out.status(words.filter(Boolean).join(" · "));
  }
}

/** Whether the server itself queues another attempt of a job whose worker does not come back. */
function isTriedAgain({ retry, tries }: JobRecord): boolean {
  return retry?.whenLost === true && tries + 1 < retry.mostAttempts;
}
