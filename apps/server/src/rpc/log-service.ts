import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { addRawMessages, ReadLogsResponseSchema, type LogService } from "@signalbox/protocol";
import type { Logs } from "../logs/logs.ts";
import { mostKeptBuckets } from "../logs/histogram.ts";
import { maxReadBytes } from "../logs/stored-logs.ts";

const entriesField = 2;
const usualBuckets = 240;

/** The service that reads stored lines. `attemptOf` finds the attempt that is meant, or throws Refused. */
export function logService(
  logs: Logs,
  attemptOf: (jobId: string, attempt: number) => number | Promise<number>,
): ServiceImpl<typeof LogService> {
  return {
    async readLogs(request) {
      const { jobId } = request;
      const source = request.late ? logs.late : logs;
      const attempt = await attemptOf(jobId, request.attempt);
      const fromLine = Math.max(1, Number(request.fromLine));
      const untilLine = request.lineCount === 0n ? Infinity : fromLine + Number(request.lineCount);
      const maxBytes = request.maxBytes === 0 ? maxReadBytes : Math.min(request.maxBytes, maxReadBytes);
      const end = await source.end(jobId, attempt);
      const from = await source.find(jobId, attempt, fromLine);
      const run = fromLine >= end.nextLine ? [] : await source.read(jobId, attempt, from, maxBytes);
      // What was appended since `end` was asked for is read as well.
      let endLine = end.nextLine;
      // Where nothing is stored from there on, as before the first late line, there is nothing to ask for but what comes.
      let nextLine = run.length === 0 ? Math.max(fromLine, endLine) : fromLine;
      const wanted: Uint8Array[] = [];
      for (const { data, mark } of run) {
        if (nextLine >= untilLine) break;
        wanted.push(data);
        nextLine = mark;
        endLine = Math.max(endLine, mark);
      }
      const response = create(ReadLogsResponseSchema, {
        attempt,
        endLine: BigInt(endLine),
        nextLine: BigInt(nextLine),
        sealed: end.sealed,
      });
      addRawMessages(response, entriesField, wanted);
      return response;
    },

    async getHistogram({ jobId, attempt: asked, mostBuckets }, { signal }) {
      const attempt = await attemptOf(jobId, asked);
      const most = mostBuckets === 0 ? usualBuckets : Math.min(mostBuckets, mostKeptBuckets);
      const { fromUs, bucketUs, buckets, endLine } = await logs.histograms.read(jobId, attempt, most, signal);
      return {
        attempt,
        fromUs: BigInt(fromUs),
        bucketUs: BigInt(bucketUs),
        endLine: BigInt(endLine),
        // What holds nothing says nothing: most of a long pause is free.
        buckets: buckets.map(({ firstLine, levelCounts }) =>
          firstLine === 0 ? {} : { firstLine: BigInt(firstLine), levelCounts: [...levelCounts] },
        ),
      };
    },
  };
}
