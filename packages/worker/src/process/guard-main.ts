import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type { GuardWord } from "./guard-words.ts";
import { ProcessTree, type TreeRoot } from "./process-tree.ts";
import { systemProcesses } from "./system-processes.ts";
import { TreeControl } from "./tree-control.ts";

// The guard's process (see guard.ts). Needs nothing but Node and the files beside it. When its pipe closes, it ends what is watched.

/** Between TERM and KILL, milliseconds. */
const graceMs = 2000;
/** A supervisor that was killed while it started a command may have left a child that carries no marker yet, milliseconds. */
const lookAgainMs = 500;

// Whoever stops the supervisor's terminal or group shall not stop this. It ends by itself, right after its supervisor.
for (const signal of ["SIGINT", "SIGHUP", "SIGTERM", "SIGQUIT"] as const) process.on(signal, () => undefined);

const watched = new Map<string, TreeRoot>();
try {
  for await (const line of createInterface({ input: process.stdin })) hear(line);
} catch {
  // However the pipe ends, it has ended.
}
if (watched.size > 0) {
  await endAll();
  await delay(lookAgainMs);
  await endAll();
}

function hear(line: string): void {
  let word: GuardWord;
  try {
    word = JSON.parse(line) as GuardWord;
  } catch {
    // Half a line: the supervisor died while it wrote. What it said before stands.
    return;
  }
  if ("watch" in word) watched.set(word.watch.marker, word.watch);
  else watched.delete(word.forget);
}

async function endAll(): Promise<void> {
  const killAtMs = performance.now() + graceMs;
  const trees = [...watched.values()].map((root) => new TreeControl(new ProcessTree(root, systemProcesses())));
  await Promise.all(trees.map((tree) => tree.end({ killAtMs: () => killAtMs })));
}
