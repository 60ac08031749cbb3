// What is bundled: output name to source. Services and workers; a test checks that each starts without node_modules.
export const entryPoints: Readonly<Record<string, string>> = {
  daprd: "sidecar/main.ts",
  sentry: "sentry/main.ts",
  operator: "operator/main.ts",
  injector: "injector/main.ts",
  outrigger: "cli/main.ts",
  "sqlite-worker": "components/shared/sqlite-worker.ts",
};
