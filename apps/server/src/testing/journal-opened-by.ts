import type { Journal } from "../store/store.ts";

/** The journal, but its topics are opened by `open`: for tests that hold appends back or let them fail. */
export function journalOpenedBy(journal: Journal, open: Journal["open"]): Journal {
  return {
    open,
    seal: (...all) => journal.seal(...all),
    read: (...all) => journal.read(...all),
    find: (...all) => journal.find(...all),
    tail: (...all) => journal.tail(...all),
    more: (...all) => journal.more(...all),
    last: (...all) => journal.last(...all),
    topics: (...all) => journal.topics(...all),
    trim: (...all) => journal.trim(...all),
  };
}
