import { isSwitchOn } from "../switch.ts";
import { defaultPatterns } from "./default-patterns.ts";
import { MIN_SECRET_LENGTH } from "./mark.ts";
import { checkPattern, PatternSet, type SecretPattern } from "./pattern-set.ts";
import { Redactor } from "./redactor.ts";
import { environmentSecrets } from "./secret-values.ts";

/** Most secrets, and most bytes of one. */
const mostValues = 1000;
const longestValue = 64 * 1024;
const mostPatterns = 100;
const longestPattern = 1000;

/** What is masked in all that a worker says of its jobs. What is given here and in the environment is added together. */
export interface RedactOptions {
  /** Secrets, as they are, of 6 characters or more. */
  readonly values?: readonly string[];
  /** Variables whose values are secrets, beside those whose names say so. Default: SIGNALBOX_REDACT_ENV, names with commas between. */
  readonly environment?: readonly string[];
  /** Variables whose values are none, whatever their names say. Default: SIGNALBOX_REDACT_EXCEPT. */
  readonly except?: readonly string[];
  /**
   * Shapes of secrets within a line, in the syntax of RE2. If one has a group, that is what is masked. Default:
   * SIGNALBOX_REDACT_PATTERNS, one a line.
   */
  readonly patterns?: readonly string[];
  /** Whether shapes that are well known are masked. Default: yes, unless SIGNALBOX_REDACT_DEFAULTS is off. */
  readonly defaultPatterns?: boolean;
  /** Nothing is masked but the worker's own token. Default: no, unless SIGNALBOX_REDACT is off. */
  readonly off?: boolean;
}

type Env = Readonly<Record<string, string | undefined>>;

/** What came of the options. */
export interface Redaction {
  readonly redactor: Redactor;
  /** What the worker's owner should know, sentences. */
  readonly notices: readonly string[];
}

/** Decides what the options leave open. Throws TypeError, which names what cannot be used. */
export function readRedaction(options: RedactOptions = {}, env: Env = process.env): Redaction {
  const notices: string[] = [];
  const off = options.off ?? !isSwitchOn(env, "SIGNALBOX_REDACT");
  const values = [env.SIGNALBOX_TOKEN ?? ""];
  const patterns: SecretPattern[] = ownPatterns(options, env);
  const defaults = options.defaultPatterns ?? isSwitchOn(env, "SIGNALBOX_REDACT_DEFAULTS");
  const given = givenValues(options);
  const except = new Set([...(options.except ?? []), ...names(env.SIGNALBOX_REDACT_EXCEPT)]);
  if (off) return { redactor: new Redactor({ values, patterns: undefined }), notices };
  values.push(...given, ...environmentSecrets(env, except));
  for (const name of new Set([...(options.environment ?? []), ...names(env.SIGNALBOX_REDACT_ENV)])) {
    const value = env[name] ?? "";
    if (value.trim().length >= MIN_SECRET_LENGTH) values.push(value);
    else if (value)
      notices.push(`the value of ${name} is not masked: it is shorter than ${MIN_SECRET_LENGTH} characters`);
  }
  const kept = values.filter((value) => value.length <= longestValue).slice(0, mostValues);
  if (kept.length < values.length)
    notices.push(
      `secrets not masked: ${values.length - kept.length}; at most ${mostValues} are, each of ${longestValue} characters or less`,
    );
  if (defaults) patterns.push(...defaultPatterns);
  return {
    redactor: new Redactor({
      values: kept,
      patterns: patterns.length > 0 ? new PatternSet(patterns, { privateKeys: defaults }) : undefined,
    }),
    notices,
  };
}

function givenValues({ values = [] }: RedactOptions): readonly string[] {
  const short = values.find((value) => value.trim().length < MIN_SECRET_LENGTH);
  if (short !== undefined)
    throw new TypeError(
      `a value to mask has ${short.trim().length} characters: it must have ${MIN_SECRET_LENGTH} at least, or it would be masked in other words`,
    );
  return values;
}

function ownPatterns({ patterns = [] }: RedactOptions, env: Env): SecretPattern[] {
  const fromEnv = (env.SIGNALBOX_REDACT_PATTERNS ?? "").split("\n").map((each) => each.trim());
  const all = [...patterns, ...fromEnv.filter((each) => each !== "")];
  if (all.length > mostPatterns)
    throw new TypeError(`${all.length} patterns for secrets were given: at most ${mostPatterns} are allowed`);
  return all.map((pattern) => {
    if (pattern.length > longestPattern)
      throw new TypeError(
        `a pattern for secrets has ${pattern.length} characters: at most ${longestPattern} are allowed`,
      );
    const named = { name: JSON.stringify(pattern), pattern };
    checkPattern(named);
    return named;
  });
}

function names(list = ""): string[] {
  return list.split(",").flatMap((name) => name.trim() || []);
}
