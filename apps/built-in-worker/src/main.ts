import { homedir } from "node:os";
import { join } from "node:path";
import { startWorker, type WorkerState } from "@signalbox/worker";
import { commandJob } from "@signalbox/worker/process";
import { indexJob } from "./index-job.ts";
import { becomeSingleInstance } from "./single-instance.ts";
import { wordcountJob } from "./wordcount-job.ts";

// The worker that comes with Signalbox, in a process of its own: when the server is killed its jobs go on, and the server that is
// started next finds them here. Reads SIGNALBOX_DATA, SIGNALBOX_WORKER_ID, SIGNALBOX_BUILT_IN_COMMANDS and what the worker SDK reads.

/** Without a server for so long there is nobody to work for. */
const giveUpMs = 10 * 60_000;

// Whoever started this process may be gone, and with it the other end of these.
for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);

const unlock = await becomeSingleInstance(process.env.SIGNALBOX_DATA || join(homedir(), ".signalbox"));
// The one that runs already connects to the new server by itself.
if (unlock) await work(unlock);

async function work(unlock: () => void): Promise<void> {
  let giveUp: NodeJS.Timeout | undefined;
  // Whoever may start jobs could then run anything as this user, so somebody must have said yes.
  const commands = process.env.SIGNALBOX_BUILT_IN_COMMANDS === "on" ? [commandJob()] : [];
  const worker = await startWorker({
    jobs: [indexJob, wordcountJob, ...commands],
    workerId: process.env.SIGNALBOX_WORKER_ID || "built-in",
    slots: 4,
    // Whoever stops this process kills it after five seconds.
    stopGraceMs: 2000,
    stopTimeoutMs: 4500,
    onState: (state) => watchForServer(state),
  });
  watchForServer(worker.state);

  function watchForServer(state: WorkerState): void {
    if (state.kind === "backing-off" || state.kind === "connecting") {
      giveUp ??= setTimeout(() => void worker.stop("there has been no server for ten minutes"), giveUpMs);
    } else {
      clearTimeout(giveUp);
      giveUp = undefined;
    }
  }

  let signals = 0;
  const stop = () => {
    signals++;
    if (signals > 1) process.exit(1);
    void worker.stop();
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  await worker.closed;
  unlock();
  // A job function that did not end in its grace must not keep the process.
  process.exit(0);
}
