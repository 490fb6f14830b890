import { createHash, timingSafeEqual } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import type { Caller } from "./caller.ts";
import type { SessionCookie } from "./session-cookie.ts";

/** Says who sends a request, from its headers and the peer's address; undefined if nobody known. Never looks at the URL. */
export type Authenticate = (headers: IncomingHttpHeaders, address: string) => Caller | undefined;

/** For the operator listener: the cookie, or the token as bearer. */
export function authenticateOperators(token: string, cookie: SessionCookie): Authenticate {
  const byToken = authenticateMachines(token);
  return (headers, address) => {
    // Who sends a token means the token: a wrong one is not saved by a cookie that comes along.
    if (headers.authorization !== undefined) return byToken(headers, address);
    return cookie.check(headers.cookie) ? { kind: "operator", name: "operator", address } : undefined;
  };
}

/** For the worker listener, and for acts that need the token itself: the token as bearer, nothing else. */
export function authenticateMachines(token: string): Authenticate {
  const expected = digestOf(token);
  return (headers, address) => {
    const given = /^Bearer ([A-Za-z0-9_-]{1,200})$/i.exec(headers.authorization ?? "")?.[1];
    if (given === undefined || !timingSafeEqual(digestOf(given), expected)) return undefined;
    return { kind: "machine", name: "token", address };
  };
}

function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
