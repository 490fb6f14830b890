/**
 * How long to wait before try number `failures` (1 or more) after a failure, milliseconds: 0.5 s doubling to 15 s, of which a random
 * half is left out, so that tabs which lost the same server do not come back in step. `random` is 0 to 1.
 */
export function backOffMs(failures: number, random: number): number {
  const full = Math.min(15_000, 500 * 2 ** Math.min(10, failures - 1));
  return Math.round(full * (0.5 + random / 2));
}
