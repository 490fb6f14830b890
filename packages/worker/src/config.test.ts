import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readConnectConfig } from "./config.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "signalbox-config-"));
});

afterEach(() => rm(folder, { recursive: true }));

describe("where a worker finds its server", () => {
  test("is what it is told, before what the environment says", async () => {
    const env = {
      SIGNALBOX_URL: "http://env:1",
      SIGNALBOX_TOKEN: "env",
      SIGNALBOX_WORKER_ID: "env",
      POD_NAME: "pod",
      POD_NAMESPACE: "space",
    };
    const told = readConnectConfig(
      { url: "http://told:1", token: "told", workerId: "told", metadata: { a: "b" } },
      env,
    );
    expect(told).toMatchObject({ urls: ["http://told:1"], workerId: "told", metadata: { a: "b" } });
    expect(await told.readToken()).toBe("told");
    const asked = readConnectConfig({}, env);
    expect(asked).toMatchObject({
      urls: ["http://env:1"],
      workerId: "env",
      metadata: { pod_name: "pod", namespace: "space" },
    });
    expect(await asked.readToken()).toBe("env");
  });

  test("is the server of the data folder, also before it comes back", async () => {
    const file = { workerUrl: "http://127.0.0.1:18999", operatorUrl: "http://127.0.0.1:18998" };
    const env = { SIGNALBOX_DATA: folder, SIGNALBOX_WORKER_PORT: "19490" };
    await writeFile(join(folder, "server.json"), JSON.stringify(file));
    expect(readConnectConfig({}, env).urls).toEqual([file.workerUrl]);
    expect(readConnectConfig({}, { ...env, SIGNALBOX_URL: "http://env:1" }).urls).toEqual(["http://env:1"]);
    await writeFile(join(folder, "server.json"), JSON.stringify({ workerUrl: 9 }));
    expect(readConnectConfig({}, env).urls).toEqual(["http://127.0.0.1:19490"]);
    await writeFile(join(folder, "server.json"), "{");
    expect(readConnectConfig({}, env).urls).toEqual(["http://127.0.0.1:19490"]);
  });

  test("is looked for anew for each connection, unless somebody has said where it is", async () => {
    const env = { SIGNALBOX_DATA: join(folder, "not there yet") };
    const config = readConnectConfig({}, env);
    const told = readConnectConfig({ url: "http://told:1" }, env);
    expect(config.findUrls()).toEqual(["http://127.0.0.1:9090"]);
    await mkdir(env.SIGNALBOX_DATA);
    const file = join(env.SIGNALBOX_DATA, "server.json");
    const comesUp = (port: number) =>
      writeFile(file, JSON.stringify({ workerUrl: `http://127.0.0.1:${port}`, operatorUrl: "http://127.0.0.1:1" }));
    await comesUp(18999);
    expect(config.findUrls()).toEqual(["http://127.0.0.1:18999"]);
    await comesUp(18997);
    expect(config.findUrls()).toEqual(["http://127.0.0.1:18997"]);
    // It was stopped: most likely it comes back there.
    await rm(file);
    expect(config.findUrls()).toEqual(["http://127.0.0.1:18997"]);
    expect(told.findUrls()).toEqual(["http://told:1"]);
  });

  test("is this machine if nobody says anything, under a name of its own", () => {
    const nobody = { SIGNALBOX_DATA: folder };
    const config = readConnectConfig({}, nobody);
    expect(config.urls).toEqual(["http://127.0.0.1:9090"]);
    for (const [set, port] of [
      ["19490", 19490],
      ["0", 9090],
      ["70000", 9090],
      ["x", 9090],
    ] as const)
      expect(readConnectConfig({}, { ...nobody, SIGNALBOX_WORKER_PORT: set }).urls).toEqual([
        `http://127.0.0.1:${port}`,
      ]);
    expect(config.workerId).toContain(`:${process.pid}`);
    expect(readConnectConfig({}, { ...nobody, POD_NAME: "pod-1" }).workerId).toBe("pod-1");
  });

  test("is entered with the token in the named file, else in the data folder", async () => {
    await writeFile(join(folder, "token"), "in the folder\n");
    await writeFile(join(folder, "named"), "named\n");
    const named = { SIGNALBOX_DATA: folder, SIGNALBOX_TOKEN_FILE: join(folder, "named") };
    expect(await readConnectConfig({}, named).readToken()).toBe("named");
    expect(await readConnectConfig({}, { SIGNALBOX_DATA: folder }).readToken()).toBe("in the folder");
  });

  test.each(["bad\ntok", "тест"])("names where what is no token comes from, and never shows it", async (token) => {
    const config = readConnectConfig({}, { SIGNALBOX_TOKEN: token });
    const said = await config.readToken().catch(String);
    expect(said).toMatch(/^UnusableToken: the token from SIGNALBOX_TOKEN cannot be one/);
    expect(said).not.toContain(token);
  });

  test("is looked for again each time, and where it was looked for is said", async () => {
    const config = readConnectConfig({}, { SIGNALBOX_DATA: folder });
    await expect(config.readToken()).rejects.toThrow(`make ${join(folder, "token")} readable`);
    await writeFile(join(folder, "token"), "late");
    expect(await config.readToken()).toBe("late");
  });

  test("may have several addresses, in a list or with commas between", () => {
    const urls = ["http://one:9090", "https://two", "http://[::1]:9090/behind"];
    expect(readConnectConfig({ url: urls }, {}).urls).toEqual(urls);
    expect(readConnectConfig({ url: ` ${urls.join("/ , ")}, http://ONE:9090/,` }, {}).urls).toEqual(urls);
    expect(readConnectConfig({}, { SIGNALBOX_URL: urls.join(",") }).urls).toEqual(urls);
  });

  test.each([
    ["ftp://host", '"ftp://host": it must begin with http:// or https://'],
    ["host:9090", '"host:9090": it must begin with http:// or https://'],
    ["http://one:9090,two:9090", '"two:9090": it must begin with http:// or https://'],
    ["http://one:port", '"http://one:port": it must be http://host:port'],
    ["http://one:0", '"http://one:0": there is no port 0'],
    ["http://me:secret@one:9090", '"http://…@one:9090": it must not hold a name or a password'],
    ["http://one:9090?a=b", "nothing may follow after the port and path"],
    [" , ", "the server's address is empty"],
    [Array.from({ length: 33 }, (_, i) => `http://host-${i}`), "33 addresses: at most 32"],
  ])("cannot be %s", (url, message) => {
    expect(() => readConnectConfig({ url }, {})).toThrow(message);
  });

  test("cannot be entered under a name that the contract does not allow", () => {
    expect(() => readConnectConfig({ workerId: "a b" }, {})).toThrow("1 to 100 of A-Z a-z 0-9 . _ : -");
  });
});
