import { readFileSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { identityOf, type ProcessInfo } from "./process-info.ts";
import { isAlive, plantTree } from "./tree-for-tests.ts";

const patient = { timeout: 15_000, interval: 20 };

/** Processor time that a process has used, in ticks. */
function usedTicks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[11]) + Number(fields[12]);
}

const names = (processes: readonly ProcessInfo[]) => processes.map(({ name }) => name);

test("a tree is the command, its descendants and what has gone away with setsid; parents come first", async () => {
  const { tree, program } = await plantTree(`
    (sleep 1001; true) &
    setsid bash -c 'sleep 1002; true' &
    bash -c 'setsid bash -c "setsid sleep 1003 & sleep 1004" & exit'
    wait`);
  await vi.waitFor(async () => {
    expect(names(await tree.look()).filter((name) => name === "sleep")).toHaveLength(4);
  }, patient);
  const members = await tree.look();
  expect(members[0]?.pid).toBe(program.pid);
  const at = new Map(members.map(({ pid }, i) => [pid, i]));
  for (const [i, { parent }] of members.entries()) expect(at.get(parent) ?? -1).toBeLessThan(i);
  expect(members.map(({ pid }) => pid)).not.toContain(process.pid);
});

test("processes of others do not belong to it, even of the same parent", async () => {
  const first = await plantTree("sleep 1001; true");
  const second = await plantTree("sleep 1002; true");
  const [ours, theirs] = [await first.tree.look(), await second.tree.look()];
  expect(ours.filter((each) => theirs.some(({ pid }) => pid === each.pid))).toEqual([]);
});

test("a stopped tree stands: no process of it gets processor time, and it goes on when it is continued", async () => {
  const { tree, control } = await plantTree("(while :; do :; done) & setsid bash -c 'while :; do :; done' & wait");
  await vi.waitFor(async () => expect(await tree.look()).toHaveLength(3), patient);
  await control.stop();
  const members = await tree.look();
  expect(members.map(({ state }) => state)).toEqual(["stopped", "stopped", "stopped"]);
  const before = members.map(({ pid }) => usedTicks(pid));
  // Long enough for a process that runs to use a few ticks of 10 ms.
  await new Promise((resolve) => setTimeout(resolve, 300));
  expect(members.map(({ pid }) => usedTicks(pid))).toEqual(before);
  await control.continue();
  await vi.waitFor(() => {
    const [, one = 0, other = 0] = members.map(({ pid }) => usedTicks(pid));
    expect(one).toBeGreaterThan(before[1] ?? 0);
    expect(other).toBeGreaterThan(before[2] ?? 0);
  }, patient);
});

test.each([
  ["shells that start one process after the other", "while :; do sleep 0.02 & done"],
  ["processes that replace themselves all the time", `f() { f & sleep 0.01; }; for i in 1 2 3 4; do f & done; wait`],
  ["processes that setsid away from each other", `g() { setsid bash -c 'sleep 0.01' & }; while :; do g; done`],
  [
    "a program that starts others with vfork",
    `python3 -c 'import subprocess,itertools
for _ in itertools.count(): subprocess.Popen(["sleep","0.02"], close_fds=False).wait()'`,
  ],
])("%s can be stopped while they go on forking, and ended", async (_, script) => {
  const { tree, control } = await plantTree(script);
  await vi.waitFor(async () => expect((await tree.look()).length).toBeGreaterThan(1), patient);
  for (let round = 0; round < 2; round++) {
    await control.stop();
    const stopped = (await tree.look()).map(identityOf);
    expect(stopped.length).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect((await tree.look()).map(identityOf)).toEqual(stopped);
    await control.continue();
    // It goes on: there are processes that were not there before.
    await vi.waitFor(async () => {
      const now = (await tree.look()).map(identityOf);
      expect(now.some((each) => !stopped.includes(each))).toBe(true);
    }, patient);
  }
  const soonMs = performance.now() + 200;
  expect(await control.end({ killAtMs: () => soonMs })).toEqual([]);
  expect(await tree.look()).toEqual([]);
});

test("what stood before the tree was stopped still stands when it is continued", async () => {
  const { tree, control, program } = await plantTree("sleep 1001 & kill -STOP $!; sleep 1002 & echo ready; wait");
  await vi.waitFor(async () => expect(names(await tree.look())).toHaveLength(3), patient);
  const stood = await vi.waitFor(async () => {
    const found = (await tree.look()).filter(({ state }) => state === "stopped");
    expect(found).toHaveLength(1);
    return found;
  }, patient);
  await control.stop();
  await control.stop();
  await control.continue();
  const after = await tree.look();
  expect(after.filter(({ state }) => state === "stopped").map(identityOf)).toEqual(stood.map(identityOf));
  expect(after.find(({ pid }) => pid === program.pid)?.state).not.toBe("stopped");
});

test("a stop that is called off leaves nothing stopped", async () => {
  const { tree, control } = await plantTree("sleep 1001 & sleep 1002 & wait");
  await vi.waitFor(async () => expect(await tree.look()).toHaveLength(3), patient);
  await expect(control.stop(AbortSignal.abort())).rejects.toThrow("the command is not paused: the command is ending");
  expect((await tree.look()).filter(({ state }) => state === "stopped")).toEqual([]);
});

test("TERM ends what obeys, each process hears it once, and what ignores it is killed when the grace is over", async () => {
  const { tree, control, output } = await plantTree(`
    trap 'echo parent heard' TERM
    bash -c 'trap "" TERM; while :; do sleep 0.05; done' &
    setsid bash -c 'trap "" TERM; while :; do sleep 0.05; done' &
    sleep 1001 & echo ready; while :; do wait; done`);
  await vi.waitFor(async () => {
    expect(output()).toContain("ready");
    expect(names(await tree.look()).filter((name) => name === "bash")).toHaveLength(3);
  }, patient);
  const before = await tree.look();
  const killAtMs = performance.now() + 1000;
  const looks: [number, boolean][] = [];
  const survivors = await control.end({
    killAtMs: () => killAtMs,
    onLook: ({ left, killInMs }) => looks.push([left.length, killInMs > 0]),
  });
  expect(survivors).toEqual([]);
  expect(performance.now()).toBeGreaterThan(killAtMs);
  for (const { pid } of before) expect(await isAlive(pid)).toBe(false);
  expect(output().match(/parent heard/g)).toHaveLength(1);
  // The grace was shown running down, then KILL.
  expect(looks.filter(([, inGrace]) => inGrace).length).toBeGreaterThan(2);
});

test("a stopped tree is ended too, and what obeys TERM does not wait for KILL", async () => {
  const { tree, control } = await plantTree("sleep 1001 & sleep 1002 & wait");
  await vi.waitFor(async () => expect(await tree.look()).toHaveLength(3), patient);
  await control.stop();
  const startedAt = performance.now();
  expect(await control.end({ killAtMs: () => startedAt + 60_000 })).toEqual([]);
  expect(performance.now() - startedAt).toBeLessThan(30_000);
});

test("a grace that is cut short is", async () => {
  const { tree, control, output } = await plantTree("trap '' TERM; echo ready; while :; do sleep 0.05; done");
  await vi.waitFor(() => expect(output()).toContain("ready"), patient);
  let killAtMs = performance.now() + 600_000;
  const ended = control.end({ killAtMs: () => killAtMs });
  killAtMs = performance.now() + 100;
  expect(await ended).toEqual([]);
  expect(await tree.look()).toEqual([]);
});
