/** What a terminal, a shell or a service manager sends to a program that it runs. */
const forwarded = [
  "SIGINT",
  "SIGTERM",
  "SIGHUP",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGTSTP",
  "SIGCONT",
] as const satisfies readonly NodeJS.Signals[];

/** Hears the signals that this process gets instead of obeying them, until the function that is returned is called. */
export function onLocalSignals(listener: (signal: NodeJS.Signals) => void): () => void {
  for (const signal of forwarded) process.on(signal, listener);
  return () => {
    for (const signal of forwarded) process.off(signal, listener);
  };
}
