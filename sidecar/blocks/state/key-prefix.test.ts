import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isLegalKey, keyPrefixOf, keyPrefixProblem } from "./key-prefix.ts";

const owner = { appId: "app", namespace: "ns", storeName: "store" };

test("every strategy", () => {
  for (const [strategy, prefix] of [
    [undefined, "app||"],
    ["appid", "app||"],
    ["AppId", "app||"],
    ["name", "store||"],
    ["namespace", "ns.app||"],
    ["none", ""],
    ["Shared", "shared||"],
    ["", "||"],
  ] as const) {
    assert.equal(keyPrefixOf(strategy, owner), prefix, String(strategy));
  }
  assert.equal(keyPrefixOf("namespace", { ...owner, namespace: "" }), "app||");
  assert.equal(keyPrefixOf("appid", { ...owner, appId: "" }), "");
});

test("a prefix with the separator is a problem", () => {
  assert.equal(keyPrefixProblem("a||B"), "input key/keyPrefix 'a||b' can't contain '||'");
  assert.equal(keyPrefixProblem("a|b"), null);
  assert.equal(keyPrefixProblem(undefined), null);
});

test("keys of different apps never meet", () => {
  const name = fc.stringMatching(/^[a-z|.]{1,8}$/).filter(isLegalKey);
  fc.assert(
    fc.property(name, name, name, name, (appA, keyA, appB, keyB) => {
      fc.pre(!appA.endsWith("|") && !appB.endsWith("|") && !keyA.startsWith("|") && !keyB.startsWith("|"));
      const a = keyPrefixOf("appid", { ...owner, appId: appA }) + keyA;
      const b = keyPrefixOf("appid", { ...owner, appId: appB }) + keyB;
      assert.equal(a === b, appA === appB && keyA === keyB);
    }),
  );
});
