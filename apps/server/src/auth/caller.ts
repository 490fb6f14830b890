import { createContextKey } from "@connectrpc/connect";

/** How somebody who is not known, or comes to be, deals with the door: what was done, and whether that was refused. */
export type AtTheDoor = (event: {
  readonly words: string;
  readonly refused: boolean;
  /** Who it is; undefined: not known. */
  readonly caller?: Caller | undefined;
  /** Network address of the peer, without port. */
  readonly address: string;
}) => void;

/** Who is calling. */
export interface Caller {
  /** `operator`: a person in a browser. `machine`: a program that holds the token; on the worker listener also workers. */
  readonly kind: "operator" | "machine";
  /** Name within the kind. There are no people yet: 'operator' or 'token'. */
  readonly name: string;
  /** Network address of the peer, without port. */
  readonly address: string;
}

/**
 * The caller of an RPC, for handlers: `context.values.get(callerKey)`. Always set where a handler runs, because the request gate
 * refuses everybody else, except in the services that anybody may call.
 */
export const callerKey = createContextKey<Caller | undefined>(undefined, { description: "caller" });

/** Network address of the peer of an RPC, without port; known of strangers too. */
export const addressKey = createContextKey("", { description: "address" });
