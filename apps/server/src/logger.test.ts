import { Code, ConnectError } from "@connectrpc/connect";
import { expect, onTestFinished, test } from "vitest";
import { createLogger, routeConsole } from "./logger.ts";

function collect(readable: boolean) {
  const lines: string[] = [];
  const logger = createLogger({
    level: "info",
    readable,
    destination: { write: (line) => void lines.push(line) },
  });
  return { lines, logger };
}

test("machines get one JSON object a line", () => {
  const { lines, logger } = collect(false);
  logger.info({ port: 8080 }, "listening");
  expect(JSON.parse(lines[0]!)).toMatchObject({ level: "info", msg: "listening", port: 8080 });
});

test("people get time, level, words, and the values after them", () => {
  const { lines, logger } = collect(true);
  logger.warn({ host: "evil.example" }, "refused");
  expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d {2}WARN {3}refused {2}host="evil.example"\n$/);
});

test("a value can neither fill the log nor paint the terminal", () => {
  const { lines, logger } = collect(true);
  logger.info({ name: `\u001b[2J\u009b31m\u202e${"x".repeat(10_000)}` }, "line\nforged");
  expect(lines[0]!.length).toBeLessThan(700);
  expect(lines[0]).toContain("… (10009 characters)");
  // eslint-disable-next-line no-control-regex -- control characters are what must not be there
  expect(lines[0]!.trimEnd()).toMatch(/^[^\u0000-\u001f\u007f-\u009f\u202e]*$/);
});

test("secrets stay out, should somebody log headers", () => {
  const { lines, logger } = collect(false);
  logger.info({ headers: { authorization: "Bearer s3cret", cookie: "a=s3cret" }, token: "s3cret" }, "request");
  expect(lines[0]).toContain("[secret]");
  expect(lines[0]).not.toContain("s3cret");
});

test("what libraries print goes to the log; a client that left is no error", () => {
  const { lines, logger } = collect(false);
  onTestFinished(routeConsole(logger));
  console.error("handler for rpc Watch failed", new ConnectError("gone", Code.Canceled));
  expect(lines).toEqual([]);
  console.error("handler for rpc Watch failed", new Error("a bug"));
  expect(JSON.parse(lines[0]!)).toMatchObject({ level: "error" });
  expect(lines[0]).toContain("a bug");
});
