import { basename } from "node:path";

const longestName = 100;

/** What a job is called that runs a command: the program's file name and its arguments, shortened. */
export function commandName([program = "", ...args]: readonly string[]): string {
  const words = [basename(program) || program, ...args].map((word) =>
    /^[^\s'"]+$/.test(word) ? word : JSON.stringify(word),
  );
  const characters = [
    ...words
      .join(" ")
      .replace(/\p{Cc}+/gu, " ")
      .toWellFormed(),
  ];
  return characters.length > longestName ? `${characters.slice(0, longestName - 1).join("")}…` : characters.join("");
}
