import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./run.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The packages that people install, each after those that it imports; paths from the repository's root. */
export const packageFolders = [
  "packages/protocol",
  "packages/worker",
  "apps/built-in-worker",
  "apps/server",
  "packages/cli",
] as const;

/** Builds `dist` of every package that people install. The contract must be generated and the dashboard built. Throws at the first failure. */
export async function buildPackages(): Promise<void> {
  for (const folder of packageFolders) {
    rmSync(join(root, folder, "dist"), { recursive: true, force: true });
    const { ok } = await run("tsc", ["-p", join(folder, "tsconfig.build.json")]);
    if (!ok) throw new Error(`${folder} was not built`);
  }
  cpSync(join(root, "apps/web/dist"), join(root, "apps/server/dist/web"), { recursive: true });
}
