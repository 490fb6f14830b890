/**
 * What stands on what. Inside the server each floor imports only floors below it; packages that users install know neither the server
 * nor the page.
 */
const floors = ["store", "auth", "(jobs|logs|audit|bulk)", "(workers|live)", "(rpc|http)"];
const above = (floor) => floors.slice(floors.indexOf(floor) + 1).join("|");

/** @type {import("dependency-cruiser").IConfiguration} */
export default {
  forbidden: [
    ...floors.slice(0, -1).map((floor) => ({
      name: `server-floor-${floor}`,
      comment: "A floor imports only floors below it.",
      severity: "error",
      from: { path: `^apps/server/src/${floor}/`, pathNot: "\\.test\\.ts$" },
      to: { path: `^apps/server/src/(${above(floor)})/` },
    })),
    {
      name: "composition-is-on-top",
      comment: "Only the composition itself knows all parts.",
      severity: "error",
      from: { path: "^apps/server/src/[a-z]+/", pathNot: "\\.test\\.ts$|/testing/" },
      to: { path: "^apps/server/src/(main|serve|server|domain)\\.ts$" },
    },
    {
      name: "sdk-knows-only-the-protocol",
      severity: "error",
      from: { path: "^packages/worker/" },
      to: { path: "^(apps/|packages/(?!worker|protocol))" },
    },
    {
      name: "command-knows-protocol-and-sdk",
      comment: "It starts the server as a process and imports nothing of it.",
      severity: "error",
      from: { path: "^packages/cli/" },
      to: { path: "^(apps/|packages/(?!cli|worker|protocol))" },
    },
    {
      name: "protocol-knows-nobody",
      severity: "error",
      from: { path: "^packages/protocol/" },
      to: { path: "^(apps/|packages/(?!protocol))" },
    },
    {
      name: "page-knows-only-the-protocol",
      severity: "error",
      from: { path: "^apps/web/" },
      to: { path: "^(apps/(?!web)|packages/(?!protocol))" },
    },
    {
      name: "server-knows-no-page-and-no-worker",
      severity: "error",
      from: { path: "^apps/server/", pathNot: "\\.test\\.ts$" },
      to: { path: "^(apps/(?!server)|packages/(?!protocol))" },
    },
    { name: "no-cycles", severity: "error", from: { pathNot: "/gen/" }, to: { circular: true } },
    {
      name: "no-tests-in-the-product",
      severity: "error",
      from: { pathNot: "\\.test\\.ts$|/testing/" },
      to: { path: "\\.test\\.ts$|/testing/" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    exclude: { path: "(^|/)dist/" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default"] },
  },
};
