import { randomUUID } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { CommandSchema, JobState, ReceiptState } from "@signalbox/protocol";
import { setTimeout as delay } from "node:timers/promises";
import { runProgram } from "../../../scripts/programs.ts";
import { startSignalbox, type SignalboxProcess } from "./signalbox-process.ts";
import { quantile } from "./statistics.ts";

/** Milliseconds from the click to the moment at which a watching page has the worker's word that the command is applied. */
export interface CommandTimes {
  readonly p50: number;
  readonly p99: number;
}

/**
 * Sends `count` speed commands, one after the other, over gRPC-Web, and waits for each receipt on a Watch stream, as a page does;
 * while four workers print `linesPerSecond` lines in all; Infinity: as fast as they may.
 */
export async function measureCommands(count: number, linesPerSecond: number): Promise<CommandTimes> {
  await using signalbox = await startSignalbox();
  const env = { SIGNALBOX_URL: signalbox.workerUrl, SIGNALBOX_TOKEN_FILE: signalbox.tokenFile };
  const steered = runProgram("packages/bench/src/load-worker.ts", { ...env, WORKERS: "1" });
  const loud = runProgram("packages/bench/src/load-worker.ts", { ...env, WORKERS: "4" });
  try {
    await steered.printed(/started/);
    const jobId = await signalbox.startJob("idle");
    while ((await signalbox.jobs.getJob({ jobId })).job?.state !== JobState.RUNNING) await delay(20);
    await loud.printed(/started/);
    if (linesPerSecond > 0) {
      const saturates = linesPerSecond === Infinity;
      const ids = await Promise.all(
        Array.from({ length: 4 }, () =>
          saturates
            ? signalbox.startJob("flood", { count: 1_000_000_000 })
            : signalbox.startJob("steady", { per_second: linesPerSecond / 4 }),
        ),
      );
      const enough = saturates ? 10_000 : (linesPerSecond / 4) * 0.8;
      for (const id of ids)
        while (((await signalbox.jobs.getJob({ jobId: id })).vitals?.linesPerSecond ?? 0) < enough) await delay(50);
    }
    return await commandTimes(signalbox, jobId, count);
  } finally {
    await Promise.all([steered.kill("SIGKILL"), loud.kill("SIGKILL")]);
  }
}

/** The same for a job of load-worker.ts that runs already. The first twenty commands do not count. */
export async function commandTimes(signalbox: SignalboxProcess, jobId: string, count: number): Promise<CommandTimes> {
  const stop = new AbortController();
  const applied = new Map<bigint, (at: number) => void>();
  const early = new Map<bigint, number>();
  const watching = (async () => {
    const watch = signalbox.web.live.watch(
      { subscriptions: [{ id: "job", kind: { case: "job", value: { jobId } } }] },
      { signal: stop.signal },
    );
    for await (const { message } of watch) {
      if (message.case !== "entries") continue;
      for (const { record } of message.value.entries) {
        for (const receipt of record?.receipts ?? []) {
          if (receipt.state !== ReceiptState.APPLIED && receipt.state !== ReceiptState.PROVED) continue;
          const now = performance.now();
          const resolve = applied.get(receipt.generation);
          if (resolve) resolve(now);
          else if (!early.has(receipt.generation)) early.set(receipt.generation, now);
        }
      }
    }
  })().catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  const times: number[] = [];
  for (let i = 0; i < count + 20; i++) {
    const clickedAt = performance.now();
    const command = create(CommandSchema, {
      action: { case: "set", value: { value: { case: "speed", value: { itemsPerSecond: 100 + (i % 50) } } } },
    });
    const { generation } = await signalbox.web.jobs.sendCommand({ requestId: randomUUID(), jobId, command });
    const at = early.get(generation) ?? (await new Promise<number>((resolve) => applied.set(generation, resolve)));
    if (i >= 20) times.push(at - clickedAt);
    await delay(10);
  }
  stop.abort();
  await watching;
  times.sort((a, b) => a - b);
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}
