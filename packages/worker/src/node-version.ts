// Imported before all else of the package: on an older Node it ends with a sentence rather than somewhere inside with a stack.

const oldest = 22;

if (Number(process.versions.node.split(".")[0]) < oldest) {
  const error = new Error(
    `@signalbox/worker needs Node ${oldest} or newer, and this is Node ${process.versions.node}.`,
  );
  // Where it was thrown says nothing: only the sentence is printed.
  error.stack = error.message;
  throw error;
}
