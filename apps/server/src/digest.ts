import { hash } from "node:crypto";

/** SHA-256 of a stored entry: what the next entry of a chained topic carries. */
export function digestOf(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}
