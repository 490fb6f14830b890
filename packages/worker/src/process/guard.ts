import { spawn, type ChildProcess } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { guardTitle, type GuardWord } from "./guard-words.ts";
import { markerVariable } from "./process-info.ts";
import type { TreeRoot } from "./process-tree.ts";

/** A guard that dies is started again after this, milliseconds; twice as long each time that it dies young, up to the longest. */
const shortestPauseMs = 50;
const longestPauseMs = 5000;
const youngMs = 10_000;

/**
 * A process of its own that outlives this one and ends what this one leaves behind. It holds the other end of a pipe: when the pipe
 * closes, however this process has died, whatever is still watched is continued, told to end and killed. One guard serves all commands
 * of a process; it runs while there is something to watch.
 */
export class Guard {
  readonly #watched = new Map<string, TreeRoot>();
  readonly #onNotice: (message: string) => void;
  #child: ChildProcess | undefined;
  #restart: NodeJS.Timeout | undefined;
  #pauseMs = shortestPauseMs;

  constructor(onNotice: (message: string) => void = () => undefined) {
    this.#onNotice = onNotice;
  }

  /** The guard's pid while it runs. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Watches these processes. To be called before the command starts, and again once its pid is known. */
  watch(root: TreeRoot): void {
    this.#watched.set(root.marker, root);
    if (this.#child) this.#say({ watch: root });
    else if (!this.#restart) this.#start();
  }

  /** Nothing has to be done about these any more. */
  forget(marker: string): void {
    if (!this.#watched.delete(marker)) return;
    this.#say({ forget: marker });
    if (this.#watched.size > 0) return;
    clearTimeout(this.#restart);
    this.#restart = undefined;
    // With nothing to watch it ends when its pipe closes.
    this.#child?.stdin?.end();
    this.#child = undefined;
  }

  #start(): void {
    const env = { ...process.env };
    // It must not belong to a run that this process itself is part of: that one's end would take it along too early.
    delete env[markerVariable];
    const main = fileURLToPath(new URL(`./guard-main${extname(import.meta.url)}`, import.meta.url));
    const startedAtMs = performance.now();
    const child = spawn(process.execPath, [main, guardTitle], {
      cwd: "/",
      detached: true,
      env,
      stdio: ["pipe", "ignore", "ignore"],
    });
    this.#child = child;
    // It must not keep this process alive.
    child.unref();
    child.stdin.on("error", () => undefined);
    const again = (reason: string) => {
      if (this.#child !== child) return;
      this.#child = undefined;
      if (this.#watched.size === 0) return;
      const livedMs = performance.now() - startedAtMs;
      this.#pauseMs = livedMs > youngMs ? shortestPauseMs : Math.min(this.#pauseMs * 2, longestPauseMs);
      if (livedMs <= youngMs)
        this.#onNotice(`the guard that ends the command if this process is killed has ended itself: ${reason}`);
      this.#restart = setTimeout(() => {
        this.#restart = undefined;
        this.#start();
      }, this.#pauseMs);
      this.#restart.unref();
    };
    child.once("error", (error) => again(error.message));
    child.once("exit", (code, signal) => again(signal ?? `exit code ${code}`));
    for (const root of this.#watched.values()) this.#say({ watch: root });
  }

  #say(word: GuardWord): void {
    this.#child?.stdin?.write(`${JSON.stringify(word)}\n`);
  }
}
