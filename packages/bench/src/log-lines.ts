const verbs = ["fetched", "compiled", "skipped", "retrying", "uploaded", "validated", "scheduled", "evicted"];
const modules = ["worker.pool", "http.client", "shard.loader", "train.step", "io.cache", "queue.consumer"];

/** `count` lines of log-like text of exactly `bytes` bytes each, newline included. The same every time. */
export function logLines(count: number, bytes: number): string[] {
  let seed = 12_345;
  const random = (below: number) => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
    return seed % below;
  };
  return Array.from({ length: count }, (_, i) => {
    const time = new Date(1.7e12 + i * 7).toISOString();
    const text = `${time} ${random(10) === 0 ? "WARN" : "INFO"} [${modules[i % modules.length]}] ${verbs[random(8)]} item=${random(1e9)} took=${random(900)}ms path=/data/part-${random(1e6)}.bin `;
    return `${text.padEnd(bytes - 1, "x").slice(0, bytes - 1)}\n`;
  });
}
