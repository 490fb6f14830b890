import type { IncomingHttpHeaders } from "node:http";
import { expect, test } from "vitest";
import { ask, bearer, startOperatorListener, token } from "../http/test-listeners.ts";

const json = { "content-type": "application/json" };

async function signIn(url: string, code: string, headers: Record<string, string> = {}) {
  return ask(url, "/auth/session", {
    method: "POST",
    headers: { ...json, ...headers },
    body: JSON.stringify({ code }),
  });
}

const cookieOf = (answer: { headers: IncomingHttpHeaders }) => answer.headers["set-cookie"]?.[0] ?? "";

test("a code signs a browser in once", async () => {
  const { listener, url, codes } = await startOperatorListener();
  const code = codes.issue();
  expect((await ask(url, "/auth/session")).status).toBe(401);
  const answer = await signIn(url, code);
  expect(answer).toMatchObject({ status: 204, body: "" });
  const setCookie = cookieOf(answer);
  expect(setCookie).toMatch(new RegExp(`^signalbox_${listener.port}=[^;]+; `));
  expect(setCookie).toContain("Max-Age=2592000; Path=/; HttpOnly; SameSite=Strict");
  expect(setCookie).not.toContain("Secure");
  expect(setCookie).not.toContain(token);

  const cookie = setCookie.split(";")[0]!;
  expect(await ask(url, "/auth/session", { headers: { cookie } })).toMatchObject({
    status: 200,
    body: '{"name":"operator","command":"./signalbox"}',
  });
  expect((await ask(url, "/metrics", { headers: { cookie } })).status).toBe(200);
  expect((await signIn(url, code)).status).toBe(401);
});

test("behind TLS the cookie is for TLS only", async () => {
  const { url, codes } = await startOperatorListener();
  const headers = { host: "box.example", origin: "https://box.example", "sec-fetch-site": "same-origin" };
  expect(cookieOf(await signIn(url, codes.issue(), headers))).toContain("; Secure");
});

test("a code dies after 15 minutes", async () => {
  let now = 0;
  const { url, codes } = await startOperatorListener({ now: () => now });
  const [early, late] = [codes.issue(), codes.issue()];
  now = 15 * 60_000 - 1;
  expect((await signIn(url, early)).status).toBe(204);
  now++;
  expect((await signIn(url, late)).status).toBe(401);
});

test("wrong codes are refused faster and faster: after ten a minute with 429, while a right one still works", async () => {
  let now = 0;
  const { url, codes } = await startOperatorListener({ now: () => now });
  const right = codes.issue();
  for (let count = 0; count < 10; count++) expect((await signIn(url, "guess")).status).toBe(401);
  const limited = await signIn(url, "guess");
  expect(limited.status).toBe(429);
  expect(limited.headers["retry-after"]).toBe("60");
  expect((await signIn(url, right)).status).toBe(204);
  now = 60_000;
  expect((await signIn(url, "guess")).status).toBe(401);
});

test.each(["", "{", '{"code":""}', '{"other":1}', `{"code":"${"x".repeat(2_000)}"}`])(
  "a sign-in with the body %s is a bad request and tells nothing of the inside",
  async (body) => {
    const { url } = await startOperatorListener();
    const answer = await ask(url, "/auth/session", { method: "POST", headers: json, body });
    expect([400, 413]).toContain(answer.status);
    expect(answer.body).not.toMatch(/node_modules|\.ts|at /);
  },
);

test("the cookie is valid after a restart on the same port, and nowhere else", async () => {
  const first = await startOperatorListener();
  const cookie = cookieOf(await signIn(first.url, first.codes.issue())).split(";")[0]!;
  const { port } = first.listener;
  await first.listener.stop();

  const again = await startOperatorListener({ listen: { host: "loopback", port } });
  expect((await ask(again.url, "/auth/session", { headers: { cookie } })).status).toBe(200);
  await again.listener.stop();

  const otherKey = await startOperatorListener({ listen: { host: "loopback", port }, cookieKey: "o".repeat(43) });
  expect((await ask(otherKey.url, "/auth/session", { headers: { cookie } })).status).toBe(401);

  const otherPort = await startOperatorListener();
  const renamed = cookie.replace(/^signalbox_\d+/, `signalbox_${otherPort.listener.port}`);
  expect((await ask(otherPort.url, "/auth/session", { headers: { cookie: renamed } })).status).toBe(401);
});

test("a cookie that was changed is worthless", async () => {
  const { url, codes } = await startOperatorListener();
  const cookie = cookieOf(await signIn(url, codes.issue())).split(";")[0]!;
  const [name, value] = cookie.split("=") as [string, string];
  const [expires, ...rest] = decodeURIComponent(value).split(".");
  const longer = `${name}=${encodeURIComponent([String(Number(expires) + 1), ...rest].join("."))}`;
  for (const forged of [longer, `${name}=`, `${name}=x`, `${name}=9999999999.x.`, `${name}=.`, cookie.slice(0, -2)]) {
    expect((await ask(url, "/auth/session", { headers: { cookie: forged } })).status).toBe(401);
  }
});

test("signing out removes the cookie", async () => {
  const { url } = await startOperatorListener();
  const answer = await ask(url, "/auth/session", { method: "DELETE" });
  expect(answer.status).toBe(204);
  expect(cookieOf(answer)).toMatch(/^signalbox_\d+=; Max-Age=0; Path=\/; HttpOnly; SameSite=Strict$/);
});

test("the token gets a link, a cookie does not", async () => {
  const { listener, url, codes } = await startOperatorListener();
  const cookie = cookieOf(await signIn(url, codes.issue())).split(";")[0]!;
  const wrong = [{}, { cookie }, { authorization: "Bearer wrong" }, { authorization: "Bearer wrong", cookie }];
  for (const headers of wrong) {
    expect((await ask(url, "/auth/link", { method: "POST", headers: headers })).status).toBe(401);
  }
  const answer = await ask(url, "/auth/link", { method: "POST", headers: bearer });
  expect(answer.status).toBe(200);
  const link = new URL((JSON.parse(answer.body) as { url: string }).url);
  expect(link.origin).toBe(`http://localhost:${listener.port}`);
  expect(link.search).toBe("");
  const code = new URLSearchParams(link.hash.slice(1)).get("code")!;
  expect((await signIn(url, code)).status).toBe(204);
});

test("a wrong token is refused even with a good cookie beside it", async () => {
  const { url, codes } = await startOperatorListener();
  const cookie = cookieOf(await signIn(url, codes.issue())).split(";")[0]!;
  expect((await ask(url, "/metrics", { headers: { cookie, authorization: "Bearer wrong" } })).status).toBe(401);
});
