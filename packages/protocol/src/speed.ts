/** Slowest speed, items per second: about one item a day. With a slower one the next item would never come. */
export const SLOWEST_SPEED = 0.00001;
/** Fastest speed, items per second. */
export const FASTEST_SPEED = 1_000_000_000;

/** Why a number of items per second is no speed, as what follows 'a speed of 0'; undefined if it is one. */
export function speedFault(itemsPerSecond: number): string | undefined {
  if (!(itemsPerSecond > 0 && itemsPerSecond <= FASTEST_SPEED))
    return "is not above 0 items a second and at most a billion";
  if (itemsPerSecond < SLOWEST_SPEED)
    return "is too slow: at least 0.00001 items a second are needed, about one item a day";
  return undefined;
}
