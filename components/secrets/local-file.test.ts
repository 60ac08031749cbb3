import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { driverContext } from "../shared/test-context.ts";
import { create } from "./local-file.ts";

const folder = mkdtempSync(join(tmpdir(), "outrigger-secrets-"));
after(() => rmSync(folder, { recursive: true }));
const signal = new AbortController().signal;

async function open(content: string, metadata: Readonly<Record<string, string>> = {}) {
  const path = join(folder, "secrets.json");
  writeFileSync(path, content);
  const store = create(driverContext("secretstores.local.file", { secretsFile: path, ...metadata }, systemClock));
  await store.init(signal);
  return {
    features: store.features,
    get: async (name: string) => ({ ...(await store.get(name, {}, signal)) }),
    all: async () => Object.fromEntries([...(await store.bulkGet({}, signal))].map(([name, secret]) => [name, { ...secret }])),
  };
}

test("names, nested names and array indexes", async () => {
  const { get, all, features } = await open('{"a":"1","b":{"c":"2","d":{"e":"3"}},"f":["x",{"g":"y"}]}');
  assert.deepEqual(features, []);
  assert.deepEqual(await get("a"), { a: "1" });
  assert.deepEqual(await get("b:d:e"), { "b:d:e": "3" });
  assert.deepEqual(Object.keys(await all()).sort(), ["a", "b:c", "b:d:e", "f:0", "f:1:g"]);
  await assert.rejects(get("b"), /^Error: secret b not found$/);
});

test("another separator", async () => {
  const { get } = await open('{"a":{"b":"1"}}', { nestedSeparator: "." });
  assert.deepEqual(await get("a.b"), { "a.b": "1" });
});

test("multiValued keeps a top-level object together", async () => {
  const { get, all, features } = await open('{"a":"1","db":{"user":"u","pass":{"old":"o","new":"n"}}}', { multiValued: "true" });
  assert.deepEqual(features, ["MULTIPLE_KEY_VALUES_PER_SECRET"]);
  assert.deepEqual(await get("db"), { user: "u", "pass:old": "o", "pass:new": "n" });
  assert.deepEqual(await all(), { a: { a: "1" }, db: { user: "u", "pass:old": "o", "pass:new": "n" } });
});

test("numbers and booleans are the text of the file; __proto__ is a name like others", async () => {
  const { all } = await open('{"n":12345678901234567890,"f":1.10,"t":true,"z":null,"__proto__":"p"}');
  assert.deepEqual(await all(), {
    n: { n: "12345678901234567890" },
    f: { f: "1.10" },
    t: { t: "true" },
    z: { z: "" },
    ["__proto__"]: { ["__proto__"]: "p" },
  });
});

test("of two entries with the same flat name the first counts", async () => {
  const { get } = await open('{"a:b":"first","a":{"b":"second"}}');
  assert.deepEqual(await get("a:b"), { "a:b": "first" });
});

test("a file that cannot be used says why and never what is in it", async () => {
  await assert.rejects(open('{"password": "hunter2"'), (error: Error) => {
    assert.match(error.message, /secrets\.json' is not valid JSON at (line|position)/);
    assert.doesNotMatch(error.message, /hunter2/);
    return true;
  });
  await assert.rejects(open('["hunter2"]'), /must hold a JSON object/);
  await assert.rejects(open("{}", { secretsFile: join(folder, "missing.json") }), /missing\.json' \(ENOENT\): check that it exists/);
  assert.throws(() => create(driverContext("secretstores.local.file", {}, systemClock)), /secretsFile/);
});
