import { getCompileCacheDir } from "node:module";
import { Worker } from "node:worker_threads";
import type { CallMessage, CallOutcome, Calls, ThreadMessage } from "./thread-calls.ts";

/** A call failed in its thread. */
export class CallFailed extends Error {
  override readonly name = "CallFailed";
  /** SQLite's extended result code, if SQLite refused. */
  readonly errcode: number | undefined;

  constructor(message: string, errcode: number | undefined) {
    super(message);
    this.errcode = errcode;
  }
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** What happens to a thread outside of its calls. */
export interface ThreadEvents {
  /** The thread ended by itself; every call under way was rejected. Called once, never after {@link Thread.end}. */
  died(error: Error): void;
  /** The thread has something for the log. */
  remark(text: string): void;
}

/**
 * A worker thread whose functions are called as promises, answered in the order of the calls. What is called in one turn of the event loop goes
 * there in one message: a message costs as much as what most calls do.
 */
export class Thread<C extends Calls<C>> {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  readonly #exited: Promise<void>;
  /** Calls that go with the next message, and the buffers that move with them. */
  #calls: CallMessage[] = [];
  #transfer: ArrayBuffer[] = [];
  #lastId = 0;
  #ended: Error | undefined;

  constructor(module: URL, name: string, events: ThreadEvents) {
    // A thread does not share the cache of compiled modules by itself.
    const cache = getCompileCacheDir();
    const env = cache === undefined ? process.env : { ...process.env, NODE_COMPILE_CACHE: cache };
    this.#worker = new Worker(module, { name, env });
    const die = (error: Error) => {
      if (this.#ended) return;
      this.#end(error);
      events.died(error);
    };
    this.#worker.on("message", (message: ThreadMessage) => {
      if ("remark" in message) events.remark(message.remark);
      else message.forEach((outcome) => this.#settle(outcome));
    });
    this.#worker.on("messageerror", die);
    this.#worker.on("error", (error) => die(error instanceof Error ? error : new Error(String(error))));
    this.#exited = new Promise((resolve) => {
      this.#worker.on("exit", (code) => {
        die(new Error(`thread ${name} ended with code ${code}`));
        resolve();
      });
    });
  }

  /** Calls a function of the thread. Rejects with {@link CallFailed} if it throws, or with the error that ended the thread. */
  call<M extends keyof C & string>(
    method: M,
    args: Parameters<C[M]>,
    transfer: readonly ArrayBuffer[] = [],
  ): Promise<ReturnType<C[M]>> {
    if (this.#ended) return Promise.reject(this.#ended);
    return new Promise<unknown>((resolve, reject) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve, reject });
      if (this.#calls.push({ id, method, args }) === 1) process.nextTick(() => this.#send());
      this.#transfer.push(...transfer);
    }) as Promise<ReturnType<C[M]>>;
  }

  /** Stops the thread; calls under way and later ones reject with `error`. Resolves when it is gone. */
  async end(error: Error): Promise<void> {
    this.#end(error);
    await this.#worker.terminate();
    await this.#exited;
  }

  #send(): void {
    if (this.#calls.length > 0) this.#worker.postMessage(this.#calls, this.#transfer);
    this.#calls = [];
    this.#transfer = [];
  }

  #settle(outcome: CallOutcome): void {
    const pending = this.#pending.get(outcome.id);
    this.#pending.delete(outcome.id);
    if ("value" in outcome) pending?.resolve(outcome.value);
    else pending?.reject(new CallFailed(outcome.error.message, outcome.error.errcode));
  }

  #end(error: Error): void {
    this.#ended ??= error;
    this.#calls = [];
    for (const pending of this.#pending.values()) pending.reject(this.#ended);
    this.#pending.clear();
  }
}
