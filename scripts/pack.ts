import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { buildPackages, packageFolders } from "./build-packages.ts";
import { run } from "./run.ts";

// `pnpm run pack [folder]`: builds the packages that people install and puts a tarball of each into the folder, `packed` by default.
// pnpm writes their manifests: `publishConfig` takes the place of the sources, and versions that of `workspace:` and `catalog:`.

const root = fileURLToPath(new URL("..", import.meta.url));
const destination = resolve(process.argv[2] ?? join(root, "packed"));
const filters = packageFolders.flatMap((folder) => ["--filter", `./${folder}`]);

await buildPackages();
const pnpm = ["--yes", "pnpm@12.21.0", "--silent"];
const { ok } = await run("npx", [...pnpm, ...filters, "pack", "--pack-destination", destination]);
if (!ok) throw new Error("the packages were not packed");
