// Imported before all else of the package: on an older Node it ends with a sentence rather than somewhere inside with a stack.

const oldest = "22.2";

const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
const [oldestMajor = 0, oldestMinor = 0] = oldest.split(".").map(Number);

if (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)) {
  const error = new Error(
    `@signalbox/worker needs Node ${oldest} or newer, and this is Node ${process.versions.node}.`,
  );
  // Where it was thrown says nothing: only the sentence is printed.
  error.stack = error.message;
  throw error;
}
