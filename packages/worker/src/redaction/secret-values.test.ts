import { describe, expect, test } from "vitest";
import { argumentSecrets, environmentSecrets, saysSecret } from "./secret-values.ts";

describe("which values are secrets", () => {
  test.each([
    ...["TOKEN", "GITHUB_TOKEN", "NPM_TOKEN", "MY_SECRET", "SECRET_SAUCE", "DB_PASSWORD", "PGPASSWORD", "MYSQL_PWD"],
    ...["FOO_PASSWD", "GPG_PASSPHRASE", "STRIPE_API_KEY", "APIKEY", "SSH_PRIVATE_KEY", "AWS_SECRET_ACCESS_KEY"],
    ...["GOOGLE_CREDENTIALS", "db.password", "api-key", "ENCRYPTION_KEY", "SIGNALBOX_TOKEN", "DB_PASS", "CI_JOB_TOKEN"],
  ])("%s says secret", (name) => {
    expect(saysSecret(name)).toBe(true);
  });

  test.each([
    ...["PATH", "HOME", "PWD", "OLDPWD", "TOKEN_FILE", "SIGNALBOX_TOKEN_FILE", "TOKEN_TYPE", "PASSWORD_MIN_LENGTH"],
    ...["SSH_AUTH_SOCK", "MONKEY", "KEYBOARD", "TOKENIZER", "TOKENIZERS_PARALLELISM", "COMPASS", "PASSENGER"],
    ...["SECRET_NAME", "TOKEN_URL", "PUBLIC_KEY", "CREDENTIALS_DIRECTORY", "BYPASS_CACHE", "GIT_CREDENTIAL_HELPER"],
  ])("%s does not", (name) => {
    expect(saysSecret(name)).toBe(false);
  });

  test("an environment has those of variables whose names say so, and passwords in URLs, but nothing trivial", () => {
    const env = {
      A_TOKEN: "abc123def456",
      B_SECRET: "true",
      C_SECRET: "disabled",
      D_SECRET: "1234567890",
      E_SECRET: "/etc/passwd",
      F_SECRET: "./secrets/x",
      G_SECRET: "short",
      H_SECRET: "/8fkd9+looks/like+a+path",
      I_SECRET: "not this one",
      DATABASE_URL: "postgres://me:p%40ssword@db/x",
      PLAIN: "abc123def456 not",
      GONE: undefined,
    };
    expect(environmentSecrets(env, new Set(["I_SECRET"]))).toEqual([
      "abc123def456",
      "/8fkd9+looks/like+a+path",
      "p%40ssword",
      "p@ssword",
    ]);
  });

  test("a command line has those of options and assignments whose names say so, and passwords in URLs", () => {
    const command = ["curl", "--user-token", "tok-123456", "--api-key=key-123456", "DB_PASSWORD=pw-123456"];
    const more = [
      "--password",
      "--verbose",
      "-p",
      "8080",
      "redis://:redis-pw@cache",
      "--token-file",
      "/run/token",
      "x",
    ];
    expect(argumentSecrets([...command, ...more])).toEqual([
      "tok-123456",
      "key-123456",
      "pw-123456",
      "redis-pw",
      "redis-pw",
    ]);
    expect(argumentSecrets(["token", "abcdefgh"])).toEqual([]);
  });
});
