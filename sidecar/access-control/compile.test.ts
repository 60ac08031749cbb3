import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { encodeMethod, normalizeMethod } from "../../lib/kit/method-path.ts";
import type { AccessControl, AccessPolicy } from "../../lib/resources/configuration.ts";
import { type Caller, compileAccessControl, ineffectiveOperations } from "./compile.ts";
import { readByHttpApp } from "./operation.ts";

const shop: Caller = { trustDomain: "public", namespace: "default", appId: "shop" };

function settings(policy: Partial<AccessPolicy>, over: Partial<AccessControl> = {}): AccessControl {
  const base = { appId: "shop", trustDomain: "public", namespace: "default", defaultAction: "", operations: [] };
  return { defaultAction: "deny", trustDomain: "public", policies: [{ ...base, ...policy }], ...over };
}

function operation(name: string, action: string, httpVerbs: readonly string[] = ["*"]) {
  return { name, action, httpVerbs };
}

function allows(control: AccessControl, isHttp: boolean, name: string, verb = "GET", caller: Caller | null = shop): boolean {
  const decide = compileAccessControl(control, isHttp);
  assert.ok(decide);
  return decide(caller, name, verb).allowed;
}

describe("who calls", () => {
  const control = settings({ defaultAction: "allow" });
  const cases: [string, Caller | null, boolean][] = [
    ["named by the policy", shop, true],
    ["of another namespace", { ...shop, namespace: "other" }, false],
    ["of another trust domain", { ...shop, trustDomain: "elsewhere" }, false],
    ["another app", { ...shop, appId: "store" }, false],
    ["someone who has not proven who he is", null, false],
    ["a name put together of app and namespace", { ...shop, appId: "shop||default", namespace: "" }, false],
  ];
  for (const [what, caller, expected] of cases) test(what, () => assert.equal(allows(control, true, "x", "GET", caller), expected));
});

describe("the default action", () => {
  test("of the sidecar without policies: allow is no access control at all", () => {
    assert.equal(compileAccessControl({ defaultAction: "allow", trustDomain: "public", policies: [] }, true), null);
  });
  test("allow and deny in any case; anything else denies", () => {
    for (const [action, expected] of [
      ["ALLOW", true],
      ["deny", false],
      ["permit", false],
    ] as const) {
      assert.equal(allows(settings({ appId: "other" }, { defaultAction: action }), true, "x"), expected, action);
    }
  });
  test("not given with policies: deny", () => assert.equal(allows(settings({}, { defaultAction: "" }), true, "x"), false));
  test("of the policy goes before the sidecar's, and says so", () => {
    const decide = compileAccessControl(settings({ defaultAction: "allow" }), true);
    assert.deepEqual(decide?.(shop, "x", "GET"), { allowed: true, by: "app" });
    assert.deepEqual(decide?.(null, "x", "GET"), { allowed: false, by: "global" });
  });
});

describe("operations of a gRPC app", () => {
  const control = settings({ operations: [operation("/pkg.Shop/Order", "allow", []), operation("/pkg.Shop/*", "deny", [])] });
  test("are told apart by case and have no verb", () => {
    assert.equal(allows(control, false, "/pkg.Shop/Order", "NONE"), true);
    assert.equal(allows(control, false, "/pkg.Shop/order", "NONE"), false);
    assert.equal(allows(control, false, "/pkg.Shop/%4Frder", "NONE"), false);
  });
  test("of OnInvoke come without a slash", () =>
    assert.equal(allows(settings({ operations: [operation("order", "allow", [])] }), false, "order", "GET"), true));
});

describe("operations of an HTTP app", () => {
  const cases: [string[], string, boolean][] = [
    [["/a/b"], "a/b", true],
    [["/A/b"], "a/B", true],
    [["a"], "a", true],
    [["/a"], "a/b/c", true],
    [["/a/b"], "a", false],
    [["/a"], "ab", false],
    [["/a/*"], "a/b", true],
    [["/a/*"], "a", true],
    [["/a/*"], "a/b/c", false],
    [["/a/**"], "a/b/c", true],
    [["/a/**"], "a", true],
    [["/a*"], "abc", true],
    [["/a*z/b"], "a--z/b", true],
    [["/a*b*c"], "axxbyyc", true],
    [["/a*b*c"], "abxc", true],
    [["/ab*ba"], "aba", false],
    [["/*"], "a", true],
    [["/*"], "a/b", false],
    [["/a/*/b"], "a/x/b", false],
    [["/**"], "a/b/c", true],
    [["/a/"], "a", false],
    [["/"], "", true],
    [["/a/b", "/a/b/c"], "a/b/c", true],
  ];
  for (const [names, path, expected] of cases) {
    test(`${names.join(" ")} and ${path}`, () => {
      const control = settings({ operations: names.map((name) => operation(name, "allow")) });
      assert.equal(allows(control, true, path), expected);
    });
  }
  test("the rule written first counts", () => {
    const first = settings({ operations: [operation("/*", "allow"), operation("/admin", "deny")] });
    assert.equal(allows(first, true, "admin"), true);
    const twice = settings({ operations: [operation("/admin", "deny"), operation("/admin", "allow")] });
    assert.equal(allows(twice, true, "admin"), false);
  });
});

describe("verbs", () => {
  const control = settings({ operations: [operation("/a", "allow", ["GET"]), operation("/b", "deny", ["*"])], defaultAction: "" }, {});
  const open = { ...control, defaultAction: "allow" };
  const cases: [AccessControl, string, string, boolean][] = [
    [control, "a", "GET", true],
    [control, "a", "get", false],
    [control, "a", "POST", false],
    [open, "a", "POST", true],
    [open, "b", "POST", false],
    [open, "a", "NONE", false],
  ];
  for (const [from, path, verb, expected] of cases)
    test(`${verb} ${path}, by default ${from.defaultAction}`, () => assert.equal(allows(from, true, path, verb), expected));
});

test("an incomplete policy prevents the start, and every one of them is told", () => {
  const [policy] = settings({}).policies as [AccessPolicy];
  const policies = [
    { ...policy, trustDomain: "" },
    { ...policy, appId: "b", namespace: "" },
    { ...policy, appId: "c", trustDomain: "" },
  ];
  assert.throws(() => compileAccessControl({ defaultAction: "allow", trustDomain: "public", policies }, true), {
    name: "AccessControlError",
    message:
      "invalid access control spec. missing trustdomain for apps: [shop c], missing namespace for apps: [b], missing app name on at least one of the app policies: false",
  });
  assert.throws(() => compileAccessControl(settings({ appId: "" }), true), /missing app name on at least one of the app policies: true/);
});

test("operations that no call can fall under are found", () => {
  const names = ["/a", "/a/", "/a//b", "/x/../y", "/a/*/b", "/a/**", "/q?x", "/"];
  const control = settings({ operations: names.map((name) => operation(name, "allow")) });
  assert.deepEqual(ineffectiveOperations(control), ["/a/", "/a//b", "/x/../y", "/a/*/b", "/q?x"]);
});

/** What an HTTP app reads in the request line that we send it; null when we send none. */
function readByApp(method: string): string | null {
  try {
    return decodeURIComponent(encodeMethod(normalizeMethod(method))).toLowerCase();
  } catch {
    return null;
  }
}

const pieces = fc.constantFrom(
  "admin",
  "Admin",
  "%61dmin",
  "%2561",
  "public",
  "/",
  "//",
  "..",
  ".",
  "%2e",
  "%2F",
  "%2f",
  "%5c",
  "\\",
  "%00",
  "%23",
  "%",
  "é",
  "%C3%A9",
  "%C0%AF",
  ";",
  "x",
);
const spelling = fc.array(pieces, { maxLength: 7 }).map((parts) => parts.join(""));

test("no two spellings of one path get different answers: what is dispatched is what was decided on", () => {
  const policies = [
    settings({ operations: [operation("/admin", "deny"), operation("/public", "allow")] }, { defaultAction: "allow" }),
    settings({ operations: [operation("/admin", "allow"), operation("/public/*", "allow")] }),
    settings({ operations: [operation("/x/**", "allow"), operation("/a*", "deny"), operation("/é", "deny")] }, { defaultAction: "allow" }),
  ];
  for (const control of policies) {
    const decide = compileAccessControl(control, true);
    assert.ok(decide);
    const verdict = (method: string) => decide(shop, normalizeMethod(method), "GET").allowed;
    const dispatched = spelling.filter((method) => readByApp(method) !== null);
    fc.assert(
      fc.property(dispatched, (method) => {
        // The plain spelling of what the app reads, which is what a rule names; null: no method at all.
        const plain = normalizedOrNull((readByApp(method) as string).replaceAll("%", "%25"));
        assert.ok(!verdict(method) || (plain !== null && verdict(plain)), method);
      }),
      { numRuns: 3000 },
    );
    const unambiguous = dispatched.filter((method) => readByHttpApp(normalizeMethod(method)) !== null);
    const plain = (method: string) => (readByApp(method) as string).replaceAll("%", "%25");
    fc.assert(
      fc.property(unambiguous, (method) => assert.equal(verdict(method), verdict(plain(method)), method)),
      { numRuns: 3000 },
    );
  }
});

function normalizedOrNull(method: string): string | null {
  try {
    return normalizeMethod(method);
  } catch {
    return null;
  }
}

test("spellings that hide separators are refused while a policy speaks of the caller", () => {
  const control = settings({ operations: [operation("/admin", "deny")] }, { defaultAction: "allow" });
  for (const method of [
    "x%2F..%2Fadmin",
    "%61dmin",
    "ADMIN",
    "./admin",
    "x%2f..%2Fadmin",
    "admin%2Fusers",
    "admin%C0%AF",
    "admin%00",
    "admin%5C..%5Cx",
  ]) {
    assert.equal(allows(control, true, normalizeMethod(method)), false, method);
  }
  assert.equal(allows(control, true, "administration"), true);
  assert.equal(allows(control, true, "caf%C3%A9"), true);
});
