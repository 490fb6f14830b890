#!/usr/bin/env node
// In old syntax on purpose: an older Node must get as far as saying that it is too old.
"use strict";
var oldest = [22, 16];
var version = process.versions.node.split(".").map(Number);
if (version[0] < oldest[0] || (version[0] === oldest[0] && version[1] < oldest[1])) {
  process.stderr.write(
    "signalbox needs Node " + oldest.join(".") + " or newer, and this is Node " + process.versions.node + ".\n",
  );
  process.exitCode = 1;
} else {
  import("./start.js");
}
