import { defineJob, type Job } from "@signalbox/worker";
import { TopWords } from "./top-words.ts";
import { WordCounter } from "./word-counter.ts";

/** What the job is told of its input. */
export interface WordcountParameters {
  /** How long the input will be, bytes; undefined: that is not known. */
  readonly bytes_total?: number;
  /** So many of the most frequent words are found; default 0. */
  readonly top?: number;
}

/** What was counted is shown this often, and said in the log that often, milliseconds. */
const showEveryMs = 200;
const sayEveryMs = 1000;
/** With the level DEBUG also after so many bytes. */
const stretchBytes = 16 * 1024 * 1024;

/** The job type `wordcount`: counts the bytes, lines and words of what is sent into it. */
export const wordcountJob = defineJob<WordcountParameters>({
  type: "wordcount",
  description: "Counts the bytes, lines and words of what is sent into it: signalbox start wordcount --input FILE.",
  input: true,
  itemNoun: "pieces",
  parameters: {
    type: "object",
    properties: {
      bytes_total: {
        type: "integer",
        title: "Length of the input",
        description: "Bytes. The progress goes by it, and an input that ends before fails the job.",
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
      },
      top: {
        type: "integer",
        title: "Most frequent words",
        description: "How many of them are found.",
        default: 0,
        minimum: 0,
        maximum: 20,
      },
    },
    additionalProperties: false,
  },
  run: wordcount,
});

async function wordcount(job: Job<WordcountParameters>) {
  const { log } = job;
  const { bytes_total: bytesTotal, top = 0 } = job.parameters;
  const counter = new WordCounter();
  const words = top > 0 ? new TopWords() : undefined;
  job.progress({ bytesDone: 0, bytesTotal, phase: "waits for input" });
  const announced = bytesTotal === undefined ? "" : ` of ${exact(bytesTotal)} bytes`;
  if (job.attempt > 1)
    log.warn(
      `attempt ${job.attempt} counts from 0: its input${announced} has to be sent again from the first byte, for nothing of what was ` +
        "sent to the attempt before is left",
    );
  else log.info(`counting the input${announced}`);

  const found = (complete: boolean) => ({
    bytes: counter.bytes,
    lines: counter.lines,
    words: counter.words,
    complete,
    ...(words ? { top: words.most(top), ...(words.lowBy > 0 ? { top_low_by: words.lowBy } : {}) } : {}),
  });
  let shownAtMs = 0;
  let saidAtMs = performance.now();
  for await (const piece of job.paced(job.input)) {
    const stretch = Math.floor(counter.bytes / stretchBytes);
    counter.add(piece);
    words?.add(piece);
    const nowMs = performance.now();
    job.progress({ bytesDone: counter.bytes, phase: "counting" });
    if (nowMs - shownAtMs >= showEveryMs) {
      shownAtMs = nowMs;
      job.results(found(false));
    }
    if (Math.floor(counter.bytes / stretchBytes) > stretch) log.debug(`stretch ${stretch + 1}: ${summary(counter)}`);
    if (nowMs - saidAtMs >= sayEveryMs) {
      saidAtMs = nowMs;
      log.info(`so far ${summary(counter)}`);
    }
  }
  counter.end();
  words?.end();
  if (bytesTotal !== undefined && counter.bytes < bytesTotal) {
    job.results(found(false));
    throw new Error(`the input ended after ${exact(counter.bytes)} of ${exact(bytesTotal)} bytes`);
  }
  if (bytesTotal !== undefined && counter.bytes > bytesTotal)
    log.warn(`the input had ${exact(counter.bytes)} bytes, more than the ${exact(bytesTotal)} that were announced`);
  job.progress({ bytesDone: counter.bytes, bytesTotal: counter.bytes, phase: "done" });
  for (const [each, count] of words?.most(top) ?? []) log.info(`${exact(count).padStart(12)}  ${each}`);
  log.info(`done: ${summary(counter)}`);
  return { results: found(true) };
}

function summary({ bytes, lines, words }: WordCounter): string {
  return `${exact(bytes)} bytes, ${exact(lines)} ${lines === 1 ? "line" : "lines"}, ${exact(words)} ${words === 1 ? "word" : "words"}`;
}

function exact(number: number): string {
  return number.toLocaleString("en");
}
