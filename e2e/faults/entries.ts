import { ChunkLines, type LogEntry } from "@signalbox/protocol";
import type { Classifier } from "./classify.ts";
import type { Content } from "./content.ts";

/** Shows the entries that a reader got to a classifier, line by line, only lines `from` to `to` (exclusive). */
export function classifyEntries(
  entries: readonly LogEntry[],
  {
    classifier,
    content,
    from = 1,
    to = Infinity,
  }: { classifier: Classifier; content: Content; from?: number; to?: number },
): void {
  for (const { entry } of entries) {
    if (entry.case === "gap") {
      const first = Number(entry.value.firstLine);
      classifier.miss(Math.max(from, first), Math.min(to, first + Number(entry.value.lineCount)));
    } else if (entry.case === "chunk") {
      const lines = new ChunkLines(entry.value);
      for (let i = 0; i < lines.count; i++) {
        const number = lines.firstLine + i;
        if (number < from || number >= to) continue;
        classifier.see(number, number + 1, content.isLine(number, lines.bytes(i)));
      }
    }
  }
}
