/** Reads the server's clock, microseconds since the Unix epoch. For stamps that people see; durations are measured with `performance.now`. */
export type Clock = () => number;

export const systemClock: Clock = () => Date.now() * 1000;
