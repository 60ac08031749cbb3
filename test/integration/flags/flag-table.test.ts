// The table in sidecar/flags.ts against this folder: what has its effect now is observed by a test, and what comes
// later is accepted already.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type DaprdFlag, daprdEnvironment, daprdFlags } from "../../../sidecar/flags.ts";
import { daprd, type FlagValue, foreignDaprd } from "../../harness/daprd.ts";

/** Every name that an `observes([…], …)` of this folder carries. */
function observedNames(): Set<string> {
  const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith(".test.ts"));
  const sources = files.map((file) => readFileSync(join(import.meta.dirname, file), "utf8"));
  const lists = sources.flatMap((source) => [...source.matchAll(/^observes\(\s*\[([^\]]*)\]/gm)].map(([, list]) => list as string));
  return new Set(lists.flatMap((list) => [...list.matchAll(/"([^"]+)"/g)].map(([, name]) => name as string)));
}

const rows = [...daprdFlags, ...daprdEnvironment];

test("every flag and variable with an effect now has a test that observes it", () => {
  const observed = observedNames();
  const missing = rows.filter(({ name, effect }) => effect === "now" && !observed.has(name));
  assert.deepEqual(
    missing.map(({ name }) => name),
    [],
  );
});

test("tests observe only flags and variables that exist", () => {
  const known = new Set(rows.map(({ name }) => name));
  assert.deepEqual(
    [...observedNames()].filter((name) => !known.has(name)),
    [],
  );
});

/** A value other than the default. */
function someValue({ name, kind }: DaprdFlag): FlagValue {
  if (name === "profile-port") return "0";
  if (name.endsWith("-address")) return "127.0.0.1:1";
  switch (kind) {
    case "bool":
      return true;
    case "int":
    case "uint":
      return 4;
    case "duration":
      return "45s";
    case "string":
    case "strings":
      return "something";
  }
}

const later = daprdFlags.filter(({ effect }) => effect !== "now");

test("flags whose effect comes later are accepted", async () => {
  const flags = Object.fromEntries(later.map((flag) => [flag.name, someValue(flag)]));
  await using sidecar = await daprd({ flags });
  assert.equal((await sidecar.fetch("/v1.0/healthz/outbound")).status, 204);
  const notes = sidecar.lines.filter((line) => line.includes("has been deprecated"));
  assert.equal(notes.length, later.filter((flag) => flag.deprecated !== undefined).length);
});

test("variables whose effect comes later are accepted", { skip: foreignDaprd && "they have their effect there" }, async () => {
  const names = daprdEnvironment.filter(({ effect }) => effect !== "now").map(({ name }) => name.replace("*", "ENDPOINT"));
  await using sidecar = await daprd({ env: Object.fromEntries(names.map((name) => [name, "something"])) });
  assert.equal((await sidecar.fetch("/v1.0/healthz/outbound")).status, 204);
});
