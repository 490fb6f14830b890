import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

const server = "http://localhost:8080";

export default defineConfig({
  plugins: [svelte()],
  build: {
    target: "es2023",
    // The content policy allows no data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    host: "localhost",
    proxy: {
      "^/signalbox\\.v1\\.": { target: server },
      "/auth": { target: server },
      "^/jobs/[^/]+/attempts/": { target: server },
      "/audit.ndjson": { target: server },
    },
  },
});
