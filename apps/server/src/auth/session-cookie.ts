import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { parseCookie, stringifySetCookie } from "cookie";

const lifetimeS = 30 * 24 * 3600;

/** Makes and checks the operator's cookie. Nothing is stored: the signature is the proof, so it is valid across restarts. */
export interface SessionCookie {
  /** Value of a `Set-Cookie` header that signs somebody in for 30 days. */
  signIn(secure: boolean): string;
  /** Value of a `Set-Cookie` header that removes the cookie. */
  signOut(): string;
  /** Whether a `Cookie` header holds a cookie that was signed here and has not expired. */
  check(header: string | undefined): boolean;
}

/**
 * The cookie is `signalbox_<port>=<expires>.<random>.<signature>`. The port is in its name because browsers share cookies between
 * all ports of a host, and two servers must not sign each other out; `port` is asked at each use, because a free port is known
 * late. `now` is Unix time in milliseconds.
 */
export function createSessionCookie(key: string, port: () => number, now: () => number = Date.now): SessionCookie {
  const nameNow = () => `signalbox_${port()}`;
  const attributes = { httpOnly: true, sameSite: "strict", path: "/" } as const;
  // The name is signed too, so that the cookie of one server is nothing to another one with the same key.
  const signatureOf = (name: string, payload: string) =>
    createHmac("sha256", key).update(`${name}=${payload}`).digest();

  return {
    signIn(secure) {
      const name = nameNow();
      const payload = `${Math.floor(now() / 1000) + lifetimeS}.${randomBytes(9).toString("base64url")}`;
      const value = `${payload}.${signatureOf(name, payload).toString("base64url")}`;
      return stringifySetCookie({ name, value, ...attributes, maxAge: lifetimeS, secure });
    },

    signOut() {
      return stringifySetCookie({ name: nameNow(), value: "", ...attributes, maxAge: 0 });
    },

    check(header) {
      const name = nameNow();
      const value = parseCookie(header ?? "")[name] ?? "";
      const [expires, id, signature, ...more] = value.split(".");
      if (expires === undefined || id === undefined || signature === undefined || more.length > 0) return false;
      const expected = signatureOf(name, `${expires}.${id}`);
      const given = Buffer.from(signature, "base64url");
      if (given.length !== expected.length || !timingSafeEqual(given, expected)) return false;
      return Number(expires) * 1000 > now();
    },
  };
}
