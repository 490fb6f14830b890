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

/** The outcome of one call. */
export type CallOutcome =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: { readonly message: string; readonly errcode: number | undefined } };

/** Outcomes of calls in their order, or a remark for the log. */
export type ThreadMessage = readonly CallOutcome[] | { readonly remark: string };

/** Outcomes wait so long for those of calls that came with theirs, milliseconds. */
const gatherMs = 1;

/** After this error the thread cannot go on: it ends with it instead of answering. */
export class FatalError extends Error {
  override readonly name = "FatalError";
}

/** Answers the calls of the thread that started this one, one after another. Errors go to the caller, a {@link FatalError} ends the thread. */
export function serveCalls<C extends Calls<C>>(handlers: Handlers<C>): void {
  if (!parentPort) throw new Error("calls are served in a worker thread only");
  const port = parentPort;
  const table = handlers as Record<string, (...args: readonly unknown[]) => Reply<unknown>>;
  // What the thread is made of is loaded by now. Not only at the end, which may be a kill: then each start compiles it again.
  module.flushCompileCache();
  new HeapCare(smallCare);
  port.on("message", (calls: readonly CallMessage[]) => {
    let outcomes: CallOutcome[] = [];
    let transfer: ArrayBuffer[] = [];
    let sinceMs = performance.now();
    const send = () => {
      if (outcomes.length > 0) port.postMessage(outcomes satisfies ThreadMessage, transfer);
      [outcomes, transfer, sinceMs] = [[], [], performance.now()];
    };
    for (const { id, method, args } of calls) {
      let reply: Reply<unknown> | undefined;
      try {
        reply = table[method]!(...args);
        outcomes.push({ id, value: reply.value });
        if (reply.transfer) transfer.push(...reply.transfer);
      } catch (error) {
        if (error instanceof FatalError) {
          send();
          throw error;
        }
        outcomes.push({ id, error: { message: messageOf(error), errcode: errcodeOf(error) } });
      }
      if (reply?.after || performance.now() - sinceMs > gatherMs) send();
      reply?.after?.();
    }
    send();
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
