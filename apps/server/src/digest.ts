import { hash } from "node:crypto";
import { toBinary, type DescMessage, type MessageShape } from "@bufbuild/protobuf";

/** SHA-256 of a stored entry: what the next entry of a chained topic carries. */
export function digestOf(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}

/**
 * SHA-256 of what a request says, by which a repeated one is known. The keys of maps have no order on the wire: a client that sends the same
 * request again may well encode it to other bytes, as Python and Go do.
 */
export function digestOfRequest<Desc extends DescMessage>(desc: Desc, message: MessageShape<Desc>): Buffer {
  return hash("sha256", toBinary(desc, inOrder(message) as MessageShape<Desc>), "buffer");
}

/** A copy with the keys of all objects in order, at every depth. That of a message's fields does not matter to its encoder. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  const entries = Object.entries(value).map(([key, each]) => [key, inOrder(each)] as const);
  return Object.fromEntries(entries.sort(([one], [other]) => (one < other ? -1 : 1)));
}
