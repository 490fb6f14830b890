import { randomBytes } from "node:crypto";
import { onTestFinished } from "vitest";
import { commandEnvironment } from "./command-environment.ts";
import { ProcessTree } from "./process-tree.ts";
import { startProgram } from "./program.ts";
import { systemProcesses } from "./system-processes.ts";
import { TreeControl } from "./tree-control.ts";

/** Starts a shell script as a tree of its own, which is killed when the test has finished. */
export async function plantTree(script: string, cwd = "/tmp") {
  const marker = randomBytes(8).toString("hex");
  const tree = new ProcessTree({ marker }, systemProcesses());
  const control = new TreeControl(tree);
  const program = await startProgram({
    command: ["bash", "-c", script],
    cwd,
    env: commandEnvironment(process.env, { marker }),
  });
  tree.plant(program.pid);
  let output = "";
  for (const { stream } of program.outputs) stream.on("data", (bytes: Buffer) => (output += bytes.toString()));
  onTestFinished(async () => {
    await control.end({ killAtMs: () => 0 });
    for (const { stream } of program.outputs) stream.destroy();
    program.input.destroy();
  });
  return { marker, tree, control, program, output: () => output };
}

/** Whether a process is there and no zombie. */
export async function isAlive(pid: number): Promise<boolean> {
  return (await systemProcesses().list()).some((each) => each.pid === pid && each.state !== "ended");
}
