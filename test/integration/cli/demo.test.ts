// The demo of examples/, run as users run it, on ports of ours: invocation, state that survives a restart, an event
// delivered to the other app, a secret read.
import assert from "node:assert/strict";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { foreignDaprd } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { outrigger } from "../../harness/outrigger.ts";
import { reservePorts } from "../../harness/ports.ts";
import type { Program } from "../../harness/program.ts";

const examples = fileURLToPath(new URL("../../../examples", import.meta.url));
const skip = foreignDaprd ? "the demo needs our pubsub.sqlite" : false;

async function startDemo(home: Folder): Promise<Program> {
  const run = await outrigger(["run", "-f", "examples/dapr.yaml"], { home });
  await run.line(/== APP - inventory == keeps the stock/, 60_000);
  await run.line(/== APP - order == takes orders/, 60_000);
  return run;
}

/** Calls until the sidecars have found their apps. */
async function answered(run: Program, url: string, init?: RequestInit): Promise<Response> {
  const until = performance.now() + 20_000;
  for (;;) {
    const response = await fetch(url, init);
    if (response.status < 500) return response;
    if (performance.now() > until) throw run.failure(`${url}: ${response.status} ${await response.text()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test("the demo keeps its promises, and its state survives a restart", { skip }, async () => {
  using home = new Folder("demo");
  cpSync(examples, home.file("examples"), { recursive: true, filter: (path) => !/\.sqlite|\.dapr(\/|$)/.test(path) });
  const [http, grpc, order, inventory] = (await reservePorts(4)) as [number, number, number, number];
  const template = readFileSync(home.file("examples/dapr.yaml"), "utf8");
  const moved = template
    .replace("3500", String(http))
    .replace("50001", String(grpc))
    .replace("6001", String(order))
    .replace("6002", String(inventory));
  writeFileSync(home.file("examples/dapr.yaml"), moved);
  const base = `http://127.0.0.1:${http}/v1.0/invoke`;
  {
    await using run = await startDemo(home);
    assert.equal((await answered(run, `${base}/inventory/method/stock/anchor`)).status, 200);
    const body = JSON.stringify({ item: "anchor", quantity: 2 });
    const placed = await answered(run, `${base}/order/method/orders`, { method: "POST", body });
    assert.equal(placed.status, 201);
    assert.deepEqual(await placed.json(), { number: 1, item: "anchor", quantity: 2, left: 998 });
    await run.line(/== APP - inventory == heard of order 1: ship 2 × anchor/);
    assert.match(run.output, /== APP - order == order 1: 2 × anchor, paid with a key of 17 characters/);
    run.signal("SIGINT");
    assert.deepEqual(await run.exited(), { code: 0, signal: null });
  }
  await using again = await startDemo(home);
  const read = await answered(again, `${base}/order/method/orders/1`);
  assert.deepEqual(await read.json(), { number: 1, item: "anchor", quantity: 2, left: 998 });
  const stock = await answered(again, `${base}/inventory/method/stock/anchor`);
  assert.deepEqual(await stock.json(), { item: "anchor", left: 998 });
});
