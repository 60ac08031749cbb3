import assert from "node:assert/strict";
import { test } from "node:test";
import type { Driver } from "../../components/driver.ts";
import { trackInFlight } from "./in-flight.ts";

class Base implements Driver {
  readonly features = ["ETAG"];
  readonly #gates: PromiseWithResolvers<string>[] = [];
  get open(): number {
    return this.#gates.length;
  }
  async init(): Promise<void> {}
  async close(): Promise<void> {}
  get(...parameters: unknown[]): Promise<string> {
    assert.deepEqual(parameters.slice(0, 2), ["k", 2]);
    const gate = Promise.withResolvers<string>();
    this.#gates.push(gate);
    return gate.promise;
  }
  settle(how: "resolve" | "reject"): void {
    const gate = this.#gates.shift();
    if (how === "resolve") gate?.resolve("v");
    else gate?.reject(new Error("refused"));
  }
}

class Store extends Base {
  sync(): number {
    return 1;
  }
}

test("counts calls until they settle, whether they succeed or fail, and answers what the driver answers", async () => {
  const store = new Store();
  const tracked = trackInFlight<Store>(store);
  const { driver } = tracked;
  assert.deepEqual([driver.features, "features" in driver, driver.sync(), tracked.inFlight], [["ETAG"], true, 1, 0]);
  await tracked.idle();
  const [first, second] = [driver.get("k", 2), driver.get("k", 2)];
  assert.deepEqual([tracked.inFlight, driver.open], [2, 2]);
  let idle = false;
  const waited = tracked.idle().then(() => {
    idle = true;
  });
  store.settle("resolve");
  assert.equal(await first, "v");
  assert.equal(idle, false);
  store.settle("reject");
  await assert.rejects(second, /refused/);
  await waited;
  assert.deepEqual([idle, tracked.inFlight], [true, 0]);
});
