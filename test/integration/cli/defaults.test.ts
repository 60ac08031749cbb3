// A run without any resources: the embedded defaults work, and runs started apart find each other.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { foreignDaprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { outrigger } from "../../harness/outrigger.ts";
import { reservePorts } from "../../harness/ports.ts";
import { appSource, listed } from "./fixtures.ts";

const skip = foreignDaprd ? "the defaults need our drivers" : false;

test("two runs at once share the defaults and call each other by name", { skip }, async () => {
  using home = new Folder("cli");
  home.write("app.mjs", appSource);
  const suffix = randomUUID().slice(0, 8);
  const ids = [`left-${suffix}`, `right-${suffix}`] as const;
  const ports = await reservePorts(2);
  const start = (index: 0 | 1) =>
    outrigger(["run", "--app-id", ids[index], "--app-port", String(ports[index]), "--", process.execPath, "app.mjs"], { home });
  const [first, second] = await Promise.all([start(0), start(1)]);
  await using left = first;
  await using right = second;
  for (const run of [left, right]) await run.line(/dapr initialized\. Status: Running/, 60_000);
  for (const run of [left, right]) await run.line(/You're up and running/);
  const [here, there] = await listed(home, ids);
  assert.ok(here !== undefined && there !== undefined);
  const base = `http://127.0.0.1:${here.httpPort}/v1.0`;
  const answer = await fetch(`${base}/invoke/${ids[1]}/method/pid`);
  assert.deepEqual(await answer.json(), { pid: there.appPid });
  const headers = { "content-type": "application/json" };
  const saved = await fetch(`${base}/state/statestore`, { method: "POST", headers, body: JSON.stringify([{ key: "k", value: 1 }]) });
  assert.equal(saved.status, 204);
  assert.equal((await fetch(`${base}/publish/pubsub/topic`, { method: "POST", headers, body: "{}" })).status, 204);
  assert.deepEqual(await (await fetch(`${base}/secrets/secretstore/bulk`)).json(), {});
  for (const run of [left, right]) run.signal("SIGINT");
  for (const run of [left, right]) assert.deepEqual(await run.exited(), { code: 0, signal: null });
});
