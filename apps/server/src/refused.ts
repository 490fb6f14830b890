import type { Message, DescMessage, MessageInitShape } from "@bufbuild/protobuf";

/** Why a request was refused; the rpc floor turns each into one status code. */
export type RefusalKind =
  /** It does not exist. */
  | "not-found"
  /** What was sent makes no sense, now or later. */
  | "invalid"
  /** It makes sense, but not in this state. */
  | "wrong-state"
  /** Somebody else was first: look again and decide again. */
  | "stale"
  /** The request id was used for something else. */
  | "exists"
  /** A limit is reached. */
  | "exhausted"
  /** Who should have said something did not, for too long. */
  | "silent"
  /** The server is about to stop, or the store does not answer: try again elsewhere or later. */
  | "unavailable";

/** A typed detail for programs, beside the message for people. */
export interface RefusalDetail<D extends DescMessage = DescMessage> {
  readonly desc: D;
  readonly value: MessageInitShape<D> & (Message | object);
}

/** A request that cannot be carried out. The message is for the caller: what did not happen, why, and what would help. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly kind: RefusalKind;
  readonly details: readonly RefusalDetail[];

  constructor(kind: RefusalKind, message: string, details: readonly RefusalDetail[] = []) {
    super(message);
    this.kind = kind;
    this.details = details;
  }
}
