import {
  CommandSchema,
  LeverValueSchema,
  type Actor,
  type Command,
  type JobEntry,
  type LeverValue,
} from "@signalbox/protocol";
import { digestOfRequest } from "../digest.ts";
import { settingOf } from "./levers.ts";

/** Requests that are remembered of one job; the oldest is forgotten first. */
const mostRemembered = 10_000;

/** What a request id was used for. */
interface Known {
  /** Digest of the body. */
  readonly body: string;
  /** The generation that the request was given; 0 if it moved no lever. */
  readonly generation: bigint;
}

/** The requests that changed a job, by actor and request id: each has one effect. */
export class RequestIds {
  readonly #known = new Map<string, Known>();

  /** Learns the request that caused an entry, if one did. `body` is what stands for it, where that is known. */
  learn({ cause, actor, requestId, record }: JobEntry, body?: string): void {
    if (!actor || requestId === "") return;
    const key = keyOf(actor, requestId);
    switch (cause.case) {
      case "command":
        this.#known.set(key, { body: body ?? commandBody(cause.value), generation: cause.value.generation });
        break;
      case "retry": {
        const parameters = cause.value.parametersChanged ? settingOf(record?.spec, "parameters")?.value : undefined;
        this.#known.set(key, { body: retryBody(parameters), generation: 0n });
        break;
      }
      default:
        this.#known.set(key, { body: cause.case ?? "", generation: 0n });
    }
    const [oldest] = this.#known.keys();
    if (this.#known.size > mostRemembered && oldest !== undefined) this.#known.delete(oldest);
  }

  get(actor: Actor, requestId: string): Known | undefined {
    return this.#known.get(keyOf(actor, requestId));
  }
}

/** What stands for a command, whatever generation it was given. */
export function commandBody(command: Command): string {
  return `command ${digestOfRequest(CommandSchema, { ...command, generation: 0n }).toString("base64")}`;
}

/** What stands for a retry with other parameters, or with the same. */
export function retryBody(parameters: LeverValue | undefined): string {
  return `retry ${parameters ? digestOfRequest(LeverValueSchema, parameters).toString("base64") : ""}`;
}

function keyOf(actor: Actor, requestId: string): string {
  return `${actor.kind} ${actor.name} ${requestId}`;
}
