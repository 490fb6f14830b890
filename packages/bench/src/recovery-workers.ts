import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { defineJob, startWorker, type Worker } from "@signalbox/worker";

// A process of WORKERS workers, each with a link and a job of its own, that print LINES numbered lines a second each, in bursts. When the
// server is killed it gets SIGUSR2, and prints how long after that each worker was linked again, and when its lines were acknowledged
// again. On SIGTERM the jobs end; it prints how many lines each has made.

const count = Number(process.env["WORKERS"] ?? 1);
const perSecond = Number(process.env["LINES"] ?? 200);
const burstMs = 100;
const lineBytes = 120;
/** Lines that are numbered look alike but for their number, so that making them costs little. */
const filler = `INFO [worker.pool] item done ${"x".repeat(lineBytes)}`;

const ending = new AbortController();

const numbered = defineJob({
  type: "recovery",
  pinned: true,
  levers: [],
  async run(job) {
    let made = 0;
    const begin = performance.now();
    while (!ending.signal.aborted) {
      const due = Math.floor(((performance.now() - begin) / 1000) * perSecond);
      let text = "";
      while (made < due) text += `${`${++made} ${filler}`.slice(0, lineBytes - 1)}\n`;
      if (text) job.log.write(text, "stdout");
      await delay(burstMs, undefined, { signal: ending.signal }).catch(() => undefined);
      await job.log.ready();
    }
    results.set(job.id, made);
  },
});

/** One worker, and when it came back. */
interface Client {
  readonly worker: Worker;
  linkedAt: number | undefined;
  acknowledgedAt: number | undefined;
}

const results = new Map<string, number>();
const clients: Client[] = [];
const notices: string[] = [];
for (let i = 0; i < count; i++) {
  const worker = await startWorker({
    jobs: perSecond > 0 ? [numbered] : [defineJob({ type: "idle", run: () => undefined })],
    workerId: `recovery-${process.pid}-${i}`,
    transient: true,
    slots: 1,
    onLink: () => undefined,
    onNotice: (message) => void notices.push(message),
    onState: ({ kind }) => {
      if (kind === "open" && client.linkedAt === undefined) client.linkedAt = performance.now();
    },
  });
  const client: Client = { worker, linkedAt: undefined, acknowledgedAt: undefined };
  clients.push(client);
}
const linked = async () => {
  while (clients.some(({ linkedAt }) => linkedAt === undefined)) await delay(5);
};
await linked();
const started = perSecond > 0 ? clients.map(({ worker }) => worker.startHere("recovery", { name: worker.id })) : [];
await Promise.all(started.map(({ jobId }) => jobId));
process.stdout.write("ready\n");

process.on("SIGUSR2", () => void recover());

/** Waits for everybody to come back, from a kill of the server that was just now. */
async function recover(): Promise<void> {
  const killedAt = performance.now();
  const cpu = process.cpuUsage();
  for (const client of clients) client.linkedAt = client.acknowledgedAt = undefined;
  let longestStallMs = 0;
  let beatAt = performance.now();
  const held = clients.map(({ worker }) => worker.bufferedBytes);
  for (;;) {
    const now = performance.now();
    longestStallMs = Math.max(longestStallMs, now - beatAt - 5);
    beatAt = now;
    clients.forEach((client, i) => {
      const bytes = client.worker.bufferedBytes;
      // What is held only grows until something is acknowledged.
      if (client.linkedAt !== undefined && (bytes < (held[i] ?? 0) || bytes === 0)) client.acknowledgedAt ??= now;
      held[i] = bytes;
    });
    if (clients.every(({ acknowledgedAt }) => acknowledgedAt !== undefined)) break;
    await delay(5);
  }
  const used = process.cpuUsage(cpu);
  const after = (at: (client: Client) => number | undefined) =>
    clients.map((client) => Math.round((at(client) ?? NaN) - killedAt)).sort((a, b) => a - b);
  const result = {
    linkedMs: after(({ linkedAt }) => linkedAt),
    acknowledgedMs: after(({ acknowledgedAt }) => acknowledgedAt),
    longestStallMs: Math.round(longestStallMs),
    cpuSeconds: (used.user + used.system) / 1e6,
    heldBytes: clients.reduce((sum, { worker }) => sum + worker.bufferedBytes, 0),
  };
  process.stdout.write(`recovered ${JSON.stringify(result)}\n`);
}

await once(process, "SIGTERM");
ending.abort();
await Promise.all(started.map(({ ended }) => ended));
process.stdout.write(`made ${JSON.stringify([...results])}\n`);
if (notices.length > 0) process.stdout.write(`notices ${JSON.stringify(notices.slice(0, 20))}\n`);
await Promise.all(clients.map(({ worker }) => worker.stop()));
process.exit(0);
