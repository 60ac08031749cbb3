// The chart's CRDs, which helm installs the first time, are those of this version, which the operator applies from then on,
// but for the namespace of the conversion webhook (tools/copy-crds.ts says why).
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { chartFolder } from "./render.ts";

test("the chart holds the CRDs of this version", () => {
  const crds = (folder: string) => Object.fromEntries(readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), "utf8")]));
  const [shipped, generated] = [crds(join(chartFolder, "crds")), crds(resolve(chartFolder, "../../crds"))];
  assert.equal(Object.keys(generated).length, 7);
  const namespaces = Object.values(generated)
    .join("")
    .match(/namespace: replaceme$/gm);
  assert.equal(namespaces?.length, 1);
  const expected = Object.entries(generated).map(([name, text]) => [name, text.replace("namespace: replaceme", "namespace: dapr-system")]);
  assert.deepEqual(shipped, Object.fromEntries(expected), "run node tools/copy-crds.ts");
});
