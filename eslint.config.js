import js from "@eslint/js";
import svelte from "eslint-plugin-svelte";
import globals from "globals";
import ts from "typescript-eslint";
import svelteConfig from "./apps/web/svelte.config.js";

export default ts.config(
  { ignores: ["**/dist/", "**/gen/", "**/node_modules/", "test-results/", "playwright-report/"] },
  js.configs.recommended,
  ts.configs.recommendedTypeChecked,
  svelte.configs.recommended,
  {
    languageOptions: {
      globals: globals.node,
      parserOptions: {
        projectService: {
          allowDefaultProject: ["eslint.config.js", "apps/web/svelte.config.js", ".dependency-cruiser.js"],
        },
        tsconfigRootDir: import.meta.dirname,
        extraFileExtensions: [".svelte"],
      },
    },
    rules: {
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true, allowBoolean: true }],
      // Handlers of an interface that returns promises need not await.
      "@typescript-eslint/require-await": "off",
      eqeqeq: "error",
      "no-console": "error",
    },
  },
  {
    files: ["**/*.svelte", "**/*.svelte.ts"],
    languageOptions: { globals: globals.browser, parserOptions: { parser: ts.parser, svelteConfig } },
    rules: { "svelte/no-at-html-tags": "error" },
  },
  { files: ["apps/web/**"], languageOptions: { globals: globals.browser } },
  { files: ["scripts/**", "packages/bench/**", "packages/cli/**", "**/*.test.ts"], rules: { "no-console": "off" } },
  { files: ["**/*.js", "**/*.cjs"], extends: [ts.configs.disableTypeChecked] },
);
