import { Code, ConnectError } from "@connectrpc/connect";
import { setTimeout as delay } from "node:timers/promises";
import { duration } from "@signalbox/protocol/format";
import type { Subscription, WatchResponse } from "@signalbox/protocol";
import { CliError, exitCodes } from "./exit-codes.ts";
import { explain, wasTurnedAway } from "./explain.ts";
import { wasLostOnTheWay, type Room } from "./room.ts";
import { sanitise } from "./sanitise.ts";

/** Without any word for so long the link is given up, milliseconds. The server speaks every 5 s. */
const silenceMs = 10_000;
const longestWaitMs = 5_000;

/** One thing that is followed. Keeps its place, so that it can be followed again from there. */
export interface Followed {
  /** Unique among what is followed at the same time. */
  readonly id: string;
  readonly kind: Subscription["kind"];
  /** Where it has come to; at first empty. */
  cursor: Uint8Array;
}

/** Word of the link. */
export type LinkEvent =
  { readonly kind: "away"; readonly reason: string } | { readonly kind: "live"; readonly awayMs: number };

/** A step of what is followed, or word of the link. */
export type WatchEvent =
  { readonly kind: "message"; readonly id: string; readonly message: WatchResponse["message"] } | LinkEvent;

/**
 * Follows things from their cursors on, over as many streams as it takes: where the link is lost it is made again, and nothing is
 * missing and nothing comes twice. A cursor advances when the next event is asked for. Throws CliError if there is no server at first,
 * and when it refuses. Ends when `signal` aborts.
 */
export async function* watch(
  room: Room,
  followed: readonly Followed[],
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  let awaySinceMs: number | undefined;
  let isThere = false;
  for (let failures = 0; !signal.aborted; failures++) {
    const stream = new AbortController();
    let silence: NodeJS.Timeout | undefined;
    const listen = () => (silence = setTimeout(() => stream.abort(), silenceMs));
    let reason = "the server ended the stream";
    try {
      const subscriptions = followed.map(({ id, cursor, kind }) => ({ id, cursor, kind }));
      const responses = room.live.watch(
        { subscriptions },
        { signal: AbortSignal.any([signal, stream.signal]), timeoutMs: 0 },
      );
      listen();
      for await (const { subscriptionId: id, message, cursor } of responses) {
        // A reader that takes its time hears nothing meanwhile: that is no silence of the server.
        clearTimeout(silence);
        failures = 0;
        isThere = true;
        if (awaySinceMs !== undefined) yield { kind: "live", awayMs: performance.now() - awaySinceMs };
        awaySinceMs = undefined;
        const target = followed.find((each) => each.id === id);
        if (target) {
          yield { kind: "message", id, message };
          if (message.case === "reset") target.cursor = new Uint8Array();
          if (cursor.length > 0) target.cursor = cursor;
        }
        listen();
      }
    } catch (error) {
      if (signal.aborted) return;
      // One that stops just now will be there again.
      isThere ||= wasLostOnTheWay(error);
      if (!isThere || isRefusal(error)) throw explain(error, room.address);
      reason = stream.signal.aborted ? `no word for ${silenceMs / 1000} s` : lossWords(error);
    } finally {
      clearTimeout(silence);
      stream.abort();
    }
    if (awaySinceMs === undefined) {
      awaySinceMs = performance.now();
      yield { kind: "away", reason };
    }
    await delay(backOffMs(failures), undefined, { signal }).catch(() => undefined);
  }
}

/**
 * Does what comes before something is followed, as often as it takes: a server that stops meanwhile is waited for, as it is later on.
 * Throws what `act` throws if there is no server at first, and when it refuses.
 */
export async function outliving<T>(
  act: () => Promise<T>,
  { signal, onAway }: { signal: AbortSignal; onAway: (event: LinkEvent) => void },
): Promise<T> {
  let wasThere = false;
  for (let failures = 0; ; failures++) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof CliError) || error.exitCode !== exitCodes.noServer) throw error;
      if (!wasThere && !wasLostOnTheWay(error.cause)) throw error;
      if (!wasThere) onAway({ kind: "away", reason: lossWords(error.cause) });
      wasThere = true;
      await delay(backOffMs(failures), undefined, { signal }).catch(() => undefined);
      signal.throwIfAborted();
    }
  }
}

function backOffMs(failures: number): number {
  return Math.min(longestWaitMs, 250 * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2);
}

/** Why a stream was lost. One that was cut off is 'canceled' in the words of HTTP/2. */
export function lossWords(error: unknown): string {
  if (wasTurnedAway(error)) return "the server is stopping";
  const { code, rawMessage } = ConnectError.from(error);
  return code === Code.Canceled ? "the connection broke" : rawMessage;
}

/** Whether asking again would be answered the same. */
export function isRefusal(error: unknown): boolean {
  return [
    Code.InvalidArgument,
    Code.NotFound,
    Code.Unauthenticated,
    Code.PermissionDenied,
    Code.Unimplemented,
  ].includes(ConnectError.from(error).code);
}

/** Word of the link, for standard error. */
export function linkWords(event: LinkEvent): string {
  return event.kind === "away"
    ? `Not live: ${sanitise(event.reason).replace(/[.\s]+$/, "")}. Trying to connect again.`
    : `Live again after ${duration(event.awayMs)}.`;
}
