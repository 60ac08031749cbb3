import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { load } from "js-yaml";
import { homeAt, prepareHome } from "./home.ts";

test("the home is where the user says", () => {
  assert.equal(homeAt({ OUTRIGGER_HOME: "/h", DAPR_RUNTIME_PATH: "/r" }, undefined).root, "/h");
  assert.equal(homeAt({ DAPR_RUNTIME_PATH: "/r" }, undefined).root, "/r/.outrigger");
  assert.equal(homeAt({ DAPR_RUNTIME_PATH: "/r" }, "/f").root, "/f/.outrigger");
  assert.match(homeAt({}, undefined).root, /\/\.outrigger$/);
});

test("defaults are embedded components in files that only the user reads, and edits are kept", () => {
  const parent = mkdtempSync(join(tmpdir(), "outrigger-home-"));
  const home = homeAt({ OUTRIGGER_HOME: join(parent, "h") }, undefined);
  prepareHome(home);
  const types = readdirSync(home.resourcesPath).map((file) => {
    const parsed = load(readFileSync(join(home.resourcesPath, file), "utf8")) as { metadata: { name: string }; spec: { type: string } };
    return `${parsed.metadata.name}: ${parsed.spec.type}`;
  });
  assert.deepEqual(types.toSorted(), ["pubsub: pubsub.sqlite", "secretstore: secretstores.local.file", "statestore: state.sqlite"]);
  const config = load(readFileSync(home.configFile, "utf8")) as { spec: { nameResolution: { component: string } } };
  assert.equal(config.spec.nameResolution.component, "sqlite");
  assert.equal(statSync(home.root).mode & 0o077, 0);
  assert.equal(statSync(join(home.root, "secrets.json")).mode & 0o077, 0);
  writeFileSync(home.configFile, "mine");
  prepareHome(home);
  assert.equal(readFileSync(home.configFile, "utf8"), "mine");
  rmSync(parent, { recursive: true });
});
