/**
 * Bundles the daemon for running: ES modules split into chunks, so that only the code of the cloud in use is loaded (one file with
 * everything costs 58 MB more). Writes dist/ipamd/.
 */
import { rm } from "node:fs/promises";
import { build } from "esbuild";

const OUT = "dist/ipamd";

await rm(OUT, { recursive: true, force: true });
await build({
  entryPoints: {
    main: "ipamd/main.ts",
    causewayctl: "ipamd/ctl/main.ts",
    "slow-worker": "common/kernel/slow-worker.ts",
  },
  outdir: OUT,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node26",
  // the default prefers CommonJS, of which nothing can be left out: 30 MB of anonymous memory more with the AWS SDK
  mainFields: ["module", "main"],
  minifySyntax: true,
  minifyWhitespace: true,
  outExtension: { ".js": ".mjs" },
  // beside the entries: a thread of the daemon finds its file beside the code that starts it
  chunkNames: "[name]-[hash]",
  // native code stays where npm put it
  external: ["koffi"],
  // CommonJS dependencies call require(); a name that no minifier invents
  banner: {
    js: 'import { createRequire as causewayCreateRequire } from "node:module"; const require = causewayCreateRequire(import.meta.url);',
  },
  logLevel: "warning",
});
