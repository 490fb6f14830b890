type Listener = Parameters<AbortSignal["addEventListener"]>[1];

/**
 * Makes a signal that every open call listens to: Node goes through all listeners of a signal for each one that comes or goes, and with
 * thousands of calls that come or go together the event loop would stand still for seconds. Returns the same signal.
 */
export function forManyListeners(signal: AbortSignal): AbortSignal {
  const listeners = new Set<Listener>();
  signal.addEventListener(
    "abort",
    (event) => {
      for (const listener of listeners) {
        try {
          if (typeof listener === "function") listener.call(signal, event);
          else listener.handleEvent(event);
        } catch (error) {
          // As of any event: the others hear of it all the same.
          process.nextTick(() => {
            throw error;
          });
        }
      }
      listeners.clear();
    },
    { once: true },
  );
  signal.addEventListener = (_type: string, listener: Listener) => {
    if (!signal.aborted) listeners.add(listener);
  };
  signal.removeEventListener = (_type: string, listener: Listener) => {
    listeners.delete(listener);
  };
  return signal;
}
