const prefixBytes = 5;

/** Finds the messages in the bytes of one direction of a gRPC call; uncompressed ones only. */
export class GrpcMessages {
  #rest: Buffer = Buffer.alloc(0);

  /** Takes the next bytes and yields each message that is whole now. Throws Error for a compressed message. */
  *take(bytes: Uint8Array): Generator<Uint8Array> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= prefixBytes) {
      if (this.#rest[0] !== 0) throw new Error("a compressed message cannot be read here");
      const end = prefixBytes + this.#rest.readUInt32BE(1);
      if (this.#rest.length < end) return;
      const message = this.#rest.subarray(prefixBytes, end);
      this.#rest = this.#rest.subarray(end);
      yield message;
    }
  }
}
