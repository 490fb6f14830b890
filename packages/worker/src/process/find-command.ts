import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";

/** A command that could not be started. The message says which and why. */
export class CannotStart extends Error {
  override readonly name = "CannotStart";
  /** As shells have it: 127 if there is no such command, 126 if it cannot be run. */
  readonly exitCode: 126 | 127;

  constructor(exitCode: 126 | 127, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exitCode = exitCode;
  }
}

/**
 * Where the command's file is, looked for as a shell does: a name with a slash from the working folder on, any other in PATH. Throws
 * CannotStart, also if the working folder is none. Without one it is that of this process, which may have been removed.
 */
export function findCommand(name: string, cwd: string | undefined, env: Readonly<Record<string, string>>): string {
  if (cwd !== undefined) checkFolder(cwd);
  if (name === "") throw new CannotStart(127, "the command's name is empty");
  if (name.includes("\0")) throw new CannotStart(127, "the command's name holds a zero byte");
  const path = env.PATH ?? "/usr/local/bin:/usr/bin:/bin";
  const candidates = name.includes("/")
    ? [from(cwd, name)]
    : path.split(delimiter).map((folder) => from(cwd, join(folder, name)));
  let unusable: string | undefined;
  for (const candidate of candidates) {
    const fault = faultOf(candidate);
    if (fault === undefined) return candidate;
    if (fault !== "missing") unusable ??= `${candidate} ${fault}`;
  }
  if (unusable !== undefined) throw new CannotStart(126, `cannot run ${name}: ${unusable}`);
  throw new CannotStart(
    127,
    name.includes("/")
      ? `no such command: there is no file ${candidates[0] ?? name}`
      : `no such command: ${name} is in no folder of PATH`,
  );
}

/** Without a folder the system itself looks from where this process is. */
function from(cwd: string | undefined, path: string): string {
  return cwd === undefined ? path : resolve(cwd, path);
}

function checkFolder(cwd: string): void {
  let isFolder;
  try {
    isFolder = statSync(cwd).isDirectory();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CannotStart(126, `the working folder ${cwd} cannot be used: ${reason}`, { cause: error });
  }
  if (!isFolder) throw new CannotStart(126, `the working folder ${cwd} is no folder`);
}

function faultOf(path: string): string | undefined {
  try {
    if (statSync(path).isDirectory()) return "is a folder";
    accessSync(path, constants.X_OK);
    return undefined;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR") return "missing";
    return code === "EACCES" ? "is not executable, or you are not allowed to" : `cannot be used (${String(code)})`;
  }
}
