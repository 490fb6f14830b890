import fc from "fast-check";
import { expect, test } from "vitest";
import { GrpcMessages } from "./grpc-messages.ts";

test("messages are found whole, however the bytes of the call were cut", () => {
  const message = fc.uint8Array({ maxLength: 20 });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 9 })), (sent, cuts) => {
      const bytes = Buffer.concat(
        sent.map((each) => {
          const head = Buffer.alloc(5);
          head.writeUInt32BE(each.length, 1);
          return Buffer.concat([head, each]);
        }),
      );
      const messages = new GrpcMessages();
      const found: Uint8Array[] = [];
      let at = 0;
      for (const cut of [...cuts, bytes.length]) {
        found.push(...messages.take(bytes.subarray(at, at + cut)));
        at += cut;
      }
      expect(found.map((each) => [...each])).toEqual(sent.map((each) => [...each]));
    }),
  );
});
