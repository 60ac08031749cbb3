import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compileRouter } from "./routing.ts";

const event =
  JSON.parse(`{"id":"1","type":"com.dapr.event.sent","topic":"orders","subject":"orders/7","my-ext":"v","__proto__":{"evil":true},
  "data":{"total":150,"name":"widget","tags":["a","b"],"when":"2024-01-01T00:00:00Z","none":null,"nested":{"x":1.5}}}`) as Record<
    string,
    unknown
  >;

function route(match: string): Promise<string | null> {
  return compileRouter([{ match, path: "/yes" }]).then((router) => router.route(event));
}

describe("routing rules", () => {
  it("understands the CEL of Dapr's documentation", async () => {
    const matching = [
      `event.type == "com.dapr.event.sent"`,
      `event.data.total > 100 && event.data.total == 150`,
      `has(event.data.name) && !has(event.data.missing)`,
      `event.subject.startsWith("orders/") && event.subject.endsWith("7")`,
      `event.subject.matches("^orders/[0-9]+$")`,
      `event.data.name.contains("dge")`,
      `event.data.tags.exists(t, t == "b")`,
      `"a" in event.data.tags && size(event.data.tags) == 2`,
      `event["my-ext"] == "v"`,
      `timestamp(event.data.when) < timestamp("2025-01-01T00:00:00Z")`,
      `event.data.none == null`,
      `int(event.data.total) % 2 == 0`,
      `event.missing == "x" || event.type != ""`,
      "true",
    ];
    for (const match of matching) assert.equal(await route(match), "/yes", match);
    for (const match of [`event.type == "other"`, `event.data.total < 100`, "false"]) assert.equal(await route(match), null, match);
  });

  it("takes the first rule that matches, and a rule without match always", async () => {
    const rules = [
      { match: `event.topic == "x"`, path: "/1" },
      { match: `event.topic == "orders"`, path: "/2" },
      { match: "  ", path: "/3" },
    ];
    assert.equal((await compileRouter(rules)).route(event), "/2");
    assert.equal((await compileRouter([rules[0], rules[2]].filter((rule) => rule !== undefined))).route(event), "/3");
    assert.equal((await compileRouter([])).route(event), null);
  });

  it("refuses at compile time what is no CEL", async () => {
    for (const match of ["event.type ==", `event.type == "a`, "a b", "&&"])
      await assert.rejects(compileRouter([{ match, path: "/" }]), Error, match);
  });

  it("fails, and does not guess, when a rule does not fit the event", async () => {
    await assert.rejects(route(`event.missing == "x"`), /not found/);
    await assert.rejects(route("undeclared == 1"), /unresolved/);
    await assert.rejects(route("event.data.total"), /was not a boolean/);
    await assert.rejects(route("event.constructor != null"), /not found/);
    assert.equal(await route("has(event.__proto__) && event.__proto__.evil"), "/yes");
  });

  it("matches regular expressions in linear time", async () => {
    const router = await compileRouter([{ match: `event.data.matches("^(a+)+$")`, path: "/" }]);
    const started = performance.now();
    assert.equal(router.route({ data: `${"a".repeat(20_000)}b` }), null);
    assert.ok(performance.now() - started < 2000);
  });

  it("refuses events nested beyond the limit instead of exhausting the stack", async () => {
    const deep = JSON.parse(`${"[".repeat(100_000)}${"]".repeat(100_000)}`) as unknown;
    const router = await compileRouter([{ match: "true", path: "/" }]);
    assert.throws(() => router.route({ data: deep }), /nested deeper than 256 levels/);
  });
});
