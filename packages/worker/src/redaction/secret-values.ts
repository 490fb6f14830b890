import { existsSync } from "node:fs";
import { MIN_SECRET_LENGTH } from "./mark.ts";

/** Words of a name that say that its value is a secret, between `_`, `-`, `.` or the ends; also written as one word. */
const secretWords =
  /(?:^|[_.-])(?:TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|PASS|PWD|CREDENTIALS?|CREDS|APIKEYS?|PRIVATEKEY|SECRETKEY|ACCESSKEY|(?:API|PRIVATE|SECRET|ACCESS|AUTH|ACCOUNT|ENCRYPTION|SIGNING|MASTER|SERVICE)[_.-]?KEYS?|[A-Z0-9]*(?:TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|APIKEY|CREDENTIALS))(?=$|[_.-])/u;
/** Names of what is about a secret, and none itself. */
const aboutSecrets =
  /[_.-](?:FILE|FILENAME|PATH|DIR|DIRECTORY|FOLDER|TYPE|NAME|USER|USERNAME|TTL|EXPIRY|EXPIRES|EXPIRES[_.-]IN|EXPIRATION|LIFETIME|TIMEOUT|INTERVAL|LENGTH|SIZE|COUNT|LIMIT|ENABLED|DISABLED|REQUIRED|PREFIX|ALGORITHM|ISSUER|AUDIENCE|SCOPES?|HEADER|HOST|PORT|URL|URI|ENDPOINT|REGION|STORE|PROVIDER|VERSION|POLICY|HELPER)$/u;
/** The shell keeps the current folder there. */
const folders: ReadonlySet<string> = new Set(["PWD", "OLDPWD"]);
/** Values that stand for something else: masked, they would be missing from every other sentence. */
const plainWords: ReadonlySet<string> = new Set(
  "enabled disabled default undefined unlimited required optional always automatic password passwd secret token bearer basic changeme example redacted production development staging testing".split(
    " ",
  ),
);

type Env = Readonly<Record<string, string | undefined>>;

/** Whether the name of a variable, an option or the like says that its value is a secret. */
export function saysSecret(name: string): boolean {
  const upper = name.toUpperCase();
  return secretWords.test(upper) && !aboutSecrets.test(upper) && !folders.has(upper);
}

/**
 * Whether a value is no secret, whatever its name says: too short, a plain word, a number, or a path. A path begins with `./`, `../` or
 * `~/`, or with a folder that is there.
 */
export function isTrivial(value: string): boolean {
  const text = value.trim();
  if (text.length < MIN_SECRET_LENGTH) return true;
  if (plainWords.has(text.toLowerCase())) return true;
  if (/^[+-]?[\d.,_:/ -]+$/u.test(text)) return true;
  if (/^(?:\.{1,2}|~)\//u.test(text)) return true;
  const top = /^\/[^/\s]+(?=\/|$)/u.exec(text)?.[0];
  return top !== undefined && !text.includes("\n") && existsSync(top);
}

/** The secrets of an environment: of variables whose names say so, but for those in `except`, and passwords in URLs of any variable. */
export function environmentSecrets(env: Env, except: ReadonlySet<string>): string[] {
  return Object.entries(env).flatMap(([name, value = ""]) => {
    if (except.has(name)) return [];
    return (saysSecret(name) ? [value, ...urlPasswords(value)] : urlPasswords(value)).filter(
      (each) => !isTrivial(each),
    );
  });
}

/** The secrets of a command line: values of options and assignments whose names say so, and passwords in URLs. */
export function argumentSecrets(command: readonly string[]): string[] {
  return command.flatMap((word, i) => {
    const assigned = /^(?:-{1,2})?([A-Za-z][\w.-]*)=(.+)$/su.exec(word);
    const option = /^-{1,2}([A-Za-z][\w.-]*)$/u.exec(command[i - 1] ?? "");
    const values = urlPasswords(word);
    if (assigned?.[1] && assigned[2] && saysSecret(assigned[1])) values.push(assigned[2]);
    if (i > 1 && option?.[1] && saysSecret(option[1]) && !word.startsWith("-")) values.push(word);
    return values.filter((each) => !isTrivial(each));
  });
}

/** The password in a URL, as it stands there and decoded. */
function urlPasswords(value: string): string[] {
  const password = URL.canParse(value) ? new URL(value).password : "";
  if (!password) return [];
  try {
    return [password, decodeURIComponent(password)];
  } catch {
    return [password];
  }
}
