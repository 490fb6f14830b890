import { once } from "node:events";
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import v8 from "node:v8";
import { ChattyClient } from "./chatty-client.ts";
import { logLines } from "./log-lines.ts";
import { quantile } from "./statistics.ts";

// A process of WORKERS workers, each with a connection and a job of its own, that print LINES lines a second each, evenly spread. Prints
// the time from line to acknowledgement over the SECONDS that follow SIGUSR2.

// Hundreds of workers in one process have a heap that no worker has; collecting it must not take the cores from the server.
v8.setFlagsFromString("--no-allocation-site-pretenuring");

const workers = Number(process.env["WORKERS"] ?? 1);
const perSecond = Number(process.env["LINES"] ?? 20);
const seconds = Number(process.env["SECONDS"] ?? 10);
const url = process.env["SIGNALBOX_URL"] ?? "";
const token = readFileSync(process.env["SIGNALBOX_TOKEN_FILE"] ?? "", "utf8").trim();

const times: number[] = [];
let measuring = false;
const lines = logLines(1000, 120).map((line) => Buffer.from(line));
const clients = Array.from(
  { length: workers },
  (_, i) =>
    new ChattyClient(url, token, `chatty-${process.pid}-${i}`, (ms) => {
      if (measuring) times.push(ms);
    }),
);
process.stdout.write("started\n");
await Promise.all(clients.map(({ ready }) => ready));
process.stdout.write("ready\n");

// One timer for all: worker i prints when its share of the period has come.
const total = workers * perSecond;
const begin = performance.now();
let printed = 0;
const timer = setInterval(() => {
  const due = Math.floor(((performance.now() - begin) / 1000) * total);
  for (; printed < due; printed++) clients[printed % workers]?.print(lines[printed % lines.length] ?? Buffer.of(10));
}, 1);

await once(process, "SIGUSR2");
measuring = true;
const before = { printed, cpu: process.cpuUsage() };
await delay(seconds * 1000);
measuring = false;
const cpu = process.cpuUsage(before.cpu);
clearInterval(timer);
times.sort((a, b) => a - b);
const result = {
  linesPerSecond: (printed - before.printed) / seconds,
  p50: quantile(times, 0.5),
  p99: quantile(times, 0.99),
  cpu: (cpu.user + cpu.system) / 1e6 / seconds,
  unacknowledged: clients.reduce((sum, client) => sum + client.unacknowledged, 0),
};
process.stdout.write(`result ${JSON.stringify(result)}\n`);
clients.forEach((client) => client.close());
process.exit(0);
