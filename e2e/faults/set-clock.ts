import { readFileSync } from "node:fs";

// To be imported before a program (`node --import`): its wall clock is ahead by as many milliseconds as stand in the file FAULT_CLOCK,
// and jumps when that changes. Time that is measured, and not read off the wall, goes on as ever.

const file = process.env["FAULT_CLOCK"] ?? "";
const lookEveryMs = 50;
const RealDate = Date;
let aheadMs = read();
setInterval(() => (aheadMs = read()), lookEveryMs).unref();

function read(): number {
  return Number(readFileSync(file, "utf8")) || 0;
}

const now = () => RealDate.now() + aheadMs;
globalThis.Date = new Proxy(RealDate, {
  construct: (_, given: unknown[]) => Reflect.construct(RealDate, given.length > 0 ? given : [now()]) as Date,
  apply: () => new RealDate(now()).toString(),
  get: (target, name) => (name === "now" ? now : (Reflect.get(target, name) as unknown)),
});
