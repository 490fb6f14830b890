import type { TestWorker } from "./test-worker.ts";

/** What a worker was delivered of an attempt's input, from `from` on: the bytes, and whether the end was said. Throws if a delivery does not follow on the one before. */
export function inputReceived(worker: TestWorker, jobId: string, from = 0): { text: string; eof: boolean } {
  const pieces: Uint8Array[] = [];
  let end = from;
  let eof = false;
  for (const { message } of worker.received) {
    if (message.case !== "input" || message.value.jobId !== jobId) continue;
    const { offset, data } = message.value;
    if (Number(offset) !== end || eof) throw new Error(`input at ${offset} does not follow on ${end}`);
    pieces.push(data);
    end += data.length;
    eof = message.value.eof;
  }
  return { text: Buffer.concat(pieces).toString("latin1"), eof };
}
