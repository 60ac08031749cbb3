import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { accountMatcher, glob, refusalOf } from "./authorize.ts";

const account = (name: string) => ({ username: `system:serviceaccount:${name}`, groups: ["system:authenticated"] });
const refusal = (name: string, patterns: readonly string[] = []) =>
  refusalOf(account(name), "", "service-accounts", accountMatcher(patterns));

describe("Dapr's rules", () => {
  for (const name of ["kube-system:deployment-controller", "kube-system:job-controller", "tekton-pipelines:tekton-pipelines-controller"]) {
    test(`${name} is known, also beside accounts of the installation`, () => {
      assert.deepEqual([refusal(name), refusal(name, ["a:b"])], [null, null]);
    });
  }
  const cases: readonly (readonly [string, string, boolean])[] = [
    ["ns:sa", "ns:sa", true],
    ["ns:sa", "ns:sa2", false],
    ["ns:sa", "ns2:sa", false],
    ["ns*:sa-*", "ns-1:sa-x", true],
    ["ns*:sa-*", "other:sa-x", false],
    ["n?:sa", "n1:sa", true],
    ["n?:sa", "n12:sa", false],
    ["*:*", "any:thing", true],
    ["n[0-9]:s", "n5:s", true],
    ["n[^0-9]:s", "n5:s", false],
    [" ns : sa ", "ns:sa", true],
    ["n.s:sa", "nxs:sa", false],
  ];
  for (const [pattern, name, expected] of cases) {
    test(`${pattern} ${expected ? "takes" : "leaves"} ${name}`, () => assert.equal(refusal(name, [pattern]) === null, expected));
  }

  test("administrators and a controller manager without accounts", () => {
    const none = accountMatcher([]);
    assert.equal(refusalOf({ username: "root", groups: ["system:masters"] }, "", "service-accounts", none), null);
    assert.equal(refusalOf({ username: "system:kube-controller-manager", groups: [] }, "", "service-accounts", none), null);
    assert.match(
      refusalOf({ username: "jane", groups: [] }, "", "service-accounts", none) ?? "",
      /'jane' not on the list of allowed controller accounts/,
    );
    assert.notEqual(
      refusalOf({ username: "system:serviceaccount:a:b:c", groups: [] }, "", "service-accounts", accountMatcher(["*:*"])),
      null,
    );
    assert.notEqual(refusalOf({ username: "kube-system:deployment-controller", groups: [] }, "", "service-accounts", none), null);
  });

  for (const bad of ["nocolon", "a:b:c", ":", "a:[", "a:\\"]) {
    test(`${bad} is no pattern`, () => assert.throws(() => accountMatcher([bad]), /pattern/));
  }
});

describe("policies", () => {
  const jane = { username: "jane", groups: [] };
  const none = accountMatcher([]);
  test("a namespace's label decides over the account", () => {
    assert.equal(refusalOf(jane, "enabled", "service-accounts", none), null);
    assert.match(refusalOf({ username: "x", groups: ["system:masters"] }, "disabled", "pods", none) ?? "", /dapr.io\/inject=disabled/);
  });
  test("the installation may go by the pod alone", () => assert.equal(refusalOf(jane, "", "pods", none), null));
});

test("patterns cost little, whatever they are", () => {
  const matches = glob(`${"*a".repeat(20)}b`);
  const started = performance.now();
  assert.equal(matches("a".repeat(63)), false);
  assert.ok(performance.now() - started < 1000);
});
