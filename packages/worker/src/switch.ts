type Env = Readonly<Record<string, string | undefined>>;

/**
 * Whether a switch of the environment is on; it is unless it says `off`. Throws TypeError, which names it, for every other word: one that
 * was meant as the opposite shall not be guessed at.
 */
export function isSwitchOn(env: Env, name: string): boolean {
  const value = env[name] || "on";
  if (value !== "on" && value !== "off")
    throw new TypeError(`${name} is ${JSON.stringify(value)}: it must be 'on' or 'off'`);
  return value === "on";
}
