// What people type, for messages: a clone has npm scripts and runs these sources, an installed package has the command `signalbox`.

const isClone = import.meta.url.endsWith(".ts");

/** Starts a server. */
export const startCommand = isClone ? "npm start" : "signalbox serve";

/** The same with options behind it. */
export const startWithOptions = isClone ? "npm start --" : startCommand;

/** Prints a link that signs a browser in. */
export const linkCommand = isClone ? "npm run link" : "signalbox link";

/** The command itself. */
export const ownCommand = isClone ? "./signalbox" : "signalbox";
