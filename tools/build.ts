// Bundles every service into dist/: ESM with splitting, so that a driver is a chunk loaded only when a component asks
// for it; workers are entry points of their own. Then starts each bundle once to fill V8's compile cache, which a
// read-only checkout could not do later.
import { spawnSync } from "node:child_process";
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import packageJson from "../package.json" with { type: "json" };
import { entryPoints } from "./entry-points.ts";

const root = join(import.meta.dirname, "..");
const outdir = join(root, "dist");

rmSync(outdir, { recursive: true, force: true });
const result = await build({
  absWorkingDir: root,
  entryPoints,
  outdir,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node26",
  minifySyntax: true,
  minifyWhitespace: true,
  keepNames: false,
  legalComments: "none",
  metafile: true,
  logLevel: "warning",
  define: { __OUTRIGGER_VERSION__: JSON.stringify(packageJson.version) },
  // CommonJS dependencies call require; ESM output has none unless we make it, under a name nothing else uses.
  banner: {
    js: "import { createRequire as __outriggerCreateRequire } from 'node:module'; const require = __outriggerCreateRequire(import.meta.url);",
  },
});
const { writeFileSync } = await import("node:fs");
writeFileSync(join(outdir, "meta.json"), JSON.stringify(result.metafile));

for (const service of ["daprd", "sentry", "operator", "injector", "outrigger"]) {
  const started = spawnSync(join(root, "bin", service), ["--version"], { encoding: "utf8" });
  if (started.status !== 0) {
    process.stderr.write(`build: dist/${service}.mjs does not start:\n${started.stderr}`);
    process.exit(1);
  }
}
const kib = Math.round(statSync(join(outdir, "daprd.mjs")).size / 1024);
process.stdout.write(`built dist/ (daprd.mjs ${kib} KiB and ${Object.keys(result.metafile.outputs).length} files in all)\n`);
