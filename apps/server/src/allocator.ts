/**
 * Buffers of 128 KiB and more are memory of their own, given back when they are freed, and so is the end of the heap. By itself glibc raises
 * the first bound to the largest buffer that was ever freed; from then on a rush of buffers leaves holes that nobody gives back. See mallopt(3).
 */
const settings = { MALLOC_MMAP_THRESHOLD_: String(128 * 1024), MALLOC_TRIM_THRESHOLD_: String(256 * 1024) };
/** Says, in the environment, that the settings are ours. */
const mark = "SIGNALBOX_ALLOCATOR";

/**
 * Has this process use these settings, which it can only have from its environment: it begins anew, under the same process id. To be called
 * first. What it starts does not inherit them. Settings that somebody else has made stay; where it cannot be done, it holds more memory.
 */
export function settleAllocator(): void {
  const { env, execPath, execArgv, argv, platform } = process;
  const names = Object.keys(settings);
  if (env[mark] !== undefined) {
    for (const name of [...names, mark]) delete env[name];
    return;
  }
  if (platform !== "linux" || names.some((name) => env[name] !== undefined)) return;
  try {
    process.execve?.(execPath, [execPath, ...execArgv, ...argv.slice(1)], { ...env, ...settings, [mark]: "set" });
  } catch {
    // It goes on as it is.
  }
}
