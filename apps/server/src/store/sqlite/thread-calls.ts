import module from "node:module";
import { parentPort } from "node:worker_threads";
import { HeapCare, smallCare } from "../../heap-care.ts";

/** The functions that a thread offers: name to signature, as its caller sees them. */
export type Calls<C> = { readonly [M in keyof C]: (...args: never[]) => unknown };

/** What a thread's function gives back. */
export interface Reply<T> {
  readonly value: T;
  /** Buffers that move to the caller with the value instead of being copied. */
  readonly transfer?: readonly ArrayBuffer[];
  /** Runs when the value is on its way, before the next call. */
  readonly after?: () => void;
}

/** A thread's side of {@link Calls}. */
export type Handlers<C extends Calls<C>> = {
  readonly [M in keyof C]: (...args: Parameters<C[M]>) => Reply<ReturnType<C[M]>>;
};

/** One call on its way to a thread. */
export interface CallMessage {
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** The outcome of one call, or (without `id`) a remark for the log. */
export type ThreadMessage =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly message: string; readonly errcode: number | undefined } }
  | { readonly remark: string };

/** After this error the thread cannot go on: it ends with it instead of answering. */
export class FatalError extends Error {
  override readonly name = "FatalError";
}

/** Answers the calls of the thread that started this one, one after another. Errors go to the caller, a {@link FatalError} ends the thread. */
export function serveCalls<C extends Calls<C>>(handlers: Handlers<C>): void {
  if (!parentPort) throw new Error("calls are served in a worker thread only");
  const port = parentPort;
  const post = (message: ThreadMessage, transfer: readonly ArrayBuffer[] = []) => port.postMessage(message, transfer);
  const table = handlers as Record<string, (...args: readonly unknown[]) => Reply<unknown>>;
  // What the thread is made of is loaded by now. Not only at the end, which may be a kill: then each start compiles it again.
  module.flushCompileCache();
  new HeapCare(smallCare);
  port.on("message", ({ id, method, args }: CallMessage) => {
    let reply: Reply<unknown> | undefined;
    try {
      reply = table[method]!(...args);
      post({ id, value: reply.value }, reply.transfer);
    } catch (error) {
      if (error instanceof FatalError) throw error;
      post({ id, error: { message: messageOf(error), errcode: errcodeOf(error) } });
    }
    reply?.after?.();
  });
}

/** Says something that the store's owner should find in the log. For use in a thread. */
export function remark(text: string): void {
  parentPort?.postMessage({ remark: text } satisfies ThreadMessage);
}

/** SQLite's extended result code, if the error has one. */
export function errcodeOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("errcode" in error)) return undefined;
  return typeof error.errcode === "number" ? error.errcode : undefined;
}

/** Text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
