/** A thread for tests of calls. */
import { FatalError, remark, serveCalls } from "./thread-calls.ts";

export interface EchoCalls {
  double(value: number): number;
  refuse(): void;
  say(text: string): void;
  breakDown(): void;
  exit(): void;
}

serveCalls<EchoCalls>({
  double: (value) => ({ value: value * 2 }),
  refuse() {
    throw Object.assign(new Error("no"), { errcode: 13 });
  },
  say(text) {
    remark(text);
    return { value: undefined };
  },
  breakDown() {
    throw new FatalError("broken");
  },
  exit: () => process.exit(3),
});
