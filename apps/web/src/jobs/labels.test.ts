import { expect, test } from "vitest";
import { addLabels } from "./labels.ts";

test("labels are added word by word, and a later value replaces an earlier one", () => {
  expect(addLabels("team=search, env=prod url=a=b", { team: "old", x: "" })).toEqual({
    labels: { team: "search", env: "prod", url: "a=b", x: "" },
  });
});

test("what is no label is said", () => {
  expect(addLabels("team", {})).toEqual({ wrong: "“team” needs the form key=value" });
  expect(addLabels("=x", {})).toEqual({ wrong: "“=x” needs the form key=value" });
  expect(addLabels(`${"k".repeat(64)}=x`, {})).toEqual({ wrong: "A key has 63 characters at most" });
  const many = Object.fromEntries(Array.from({ length: 32 }, (_, index) => [`k${index}`, ""]));
  expect(addLabels("one=more", many)).toEqual({ wrong: "A job has 32 labels at most" });
});
