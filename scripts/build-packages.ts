import { cpSync, globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "./run.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The packages that people install, each after those that it imports; paths from the repository's root. */
export const packageFolders = ["packages/protocol", "packages/worker", "apps/built-in-worker", "apps/server"] as const;

/** Builds `dist` of every package that people install. The contract must be generated and the dashboard built. Throws at the first failure. */
export async function buildPackages(): Promise<void> {
  for (const folder of packageFolders) {
    rmSync(join(root, folder, "dist"), { recursive: true, force: true });
    const { ok } = await run("tsc", ["-p", join(folder, "tsconfig.build.json")]);
    if (!ok) throw new Error(`${folder} was not built`);
    nameBuiltFiles(join(root, folder, "dist"));
  }
  cpSync(join(root, "apps/web/dist"), join(root, "apps/server/dist/web"), { recursive: true });
}

/** Turns what tsc leaves: names of TypeScript files in `new URL("./x.ts", import.meta.url)` and in imports of declarations. Throws if one is not built. */
function nameBuiltFiles(dist: string): void {
  for (const name of globSync("**/*.{js,d.ts}", { cwd: dist })) {
    const path = join(dist, name);
    const pattern = name.endsWith(".d.ts")
      ? /(?<=(?:from |import\()")(\.{1,2}\/[^"]+)\.ts(?=")/g
      : /(?<=new URL\(")(\.{1,2}\/[^"]+)\.ts(?=", import\.meta\.url\))/g;
    const text = readFileSync(path, "utf8");
    const named = text.replaceAll(pattern, (_found: string, module: string) => {
      readFileSync(resolve(dirname(path), `${module}.js`));
      return `${module}.js`;
    });
    if (named !== text) writeFileSync(path, named);
  }
}
