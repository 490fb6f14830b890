import type { Journal, TopicInfo } from "../store.ts";

/** Topics whose name starts with this are logs. */
const logPrefix = "log/";

/** One journal of two: logs in a file of their own, so that their commits never delay any other topic's. */
export function routedJournal(state: Journal, logs: Journal): Journal {
  const of = (topic: string) => (topic.startsWith(logPrefix) ? logs : state);
  return {
    open: (topic, expectedLast) => of(topic).open(topic, expectedLast),
    seal: (topic, make) => of(topic).seal(topic, make),
    read: (topic, from, limit) => of(topic).read(topic, from, limit),
    find: (topic, mark) => of(topic).find(topic, mark),
    tail: (topic, from, signal, limit) => of(topic).tail(topic, from, signal, limit),
    more: (topic, from, signal) => of(topic).more(topic, from, signal),
    last: (topic) => of(topic).last(topic),
    trim: (topic, before) => of(topic).trim(topic, before),
    async topics(prefix) {
      if (!logPrefix.startsWith(prefix)) return of(prefix).topics(prefix);
      const found = await Promise.all([state.topics(prefix), logs.topics(prefix)]);
      return found.flat().sort(byName);
    },
  };
}

function byName(a: TopicInfo, b: TopicInfo): number {
  return a.topic < b.topic ? -1 : 1;
}
