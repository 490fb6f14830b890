import { markerVariable } from "./process-info.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What differs from run to run. */
export interface EnvironmentOptions {
  /** Names the run, beside the runs that this process itself belongs to. */
  readonly marker: string;
  /** What was asked for; wins over everything but the marker. */
  readonly extra?: Readonly<Record<string, string>>;
  /** The command gets a terminal, which tells it by itself that colours are welcome. */
  readonly tty?: boolean;
  /** Names that the command shall not see. */
  readonly without?: readonly string[];
}

/**
 * The environment of a command: that of this process, with colours and unbuffered output asked for as far as nobody has decided that
 * (`NO_COLOR` is a decision), and the marker.
 */
export function commandEnvironment(base: Environment, options: EnvironmentOptions): Record<string, string> {
  const { marker, extra = {}, tty = false, without = [] } = options;
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(base))
    if (value !== undefined && !without.includes(name)) env[name] = value;
  Object.assign(env, extra);
  const colourless = Boolean(env.NO_COLOR);
  if (tty) env.TERM ??= "xterm-256color";
  else if (!colourless) {
    env.FORCE_COLOR ??= "1";
    env.CLICOLOR_FORCE ??= "1";
  }
  env.PYTHONUNBUFFERED ??= "1";
  const outer = base[markerVariable];
  env[markerVariable] = outer ? `${outer}:${marker}` : marker;
  return env;
}
