import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseSpiffeId, SpiffeError, spiffeId } from "./spiffe.ts";

const segment = fc.stringMatching(/^[A-Za-z0-9._-]{1,40}$/).filter((text) => text !== "." && text !== "..");
const trustDomain = fc.stringMatching(/^[a-z0-9._-]{1,40}$/);

test("what is formatted is parsed back", () => {
  fc.assert(
    fc.property(trustDomain, segment, segment, (td, namespace, appId) => {
      const id = spiffeId(td, namespace, appId);
      assert.equal(id.uri, `spiffe://${td}/ns/${namespace}/${appId}`);
      assert.deepEqual(parseSpiffeId(id.uri), id);
    }),
  );
});

test("whatever parses is formatted to the same bytes, and nothing but a SpiffeError is thrown", () => {
  const pieces = fc.array(fc.constantFrom("spiffe://", "td", "/", "ns", "..", ".", "%2e", "a", "A", "@", ":80", "?", "#", "é", "\0"), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        pieces.map((parts) => `spiffe://td/ns${parts.join("")}`),
      ),
      (text) => {
        try {
          const id = parseSpiffeId(text);
          assert.equal(spiffeId(id.trustDomain, id.namespace, id.appId).uri, text);
        } catch (error) {
          assert.ok(error instanceof SpiffeError, String(error));
        }
      },
    ),
    { numRuns: 2000 },
  );
});

const forged: readonly (readonly [string, SpiffeError["reason"]])[] = [
  ["", "scheme"],
  ["https://td/ns/default/app", "scheme"],
  ["SPIFFE://td/ns/default/app", "scheme"],
  ["spiffe:/td/ns/default/app", "scheme"],
  [" spiffe://td/ns/default/app", "scheme"],
  ["spiffe:///ns/default/app", "trust_domain_empty"],
  ["spiffe://TD/ns/default/app", "trust_domain_character"],
  ["spiffe://user@td/ns/default/app", "trust_domain_character"],
  ["spiffe://td:443/ns/default/app", "trust_domain_character"],
  ["spiffe://t%64/ns/default/app", "trust_domain_character"],
  ["spiffe://td?/ns/default/app", "trust_domain_character"],
  [`spiffe://${"a".repeat(256)}/ns/default/app`, "too_long"],
  [`spiffe://td/ns/default/${"a".repeat(2048)}`, "too_long"],
  ["spiffe://td", "path_form"],
  ["spiffe://td/", "empty_segment"],
  ["spiffe://td/ns//app", "empty_segment"],
  ["spiffe://td/ns/default/", "empty_segment"],
  ["spiffe://td/ns/default/app/", "empty_segment"],
  ["spiffe://td//ns/default/app", "empty_segment"],
  ["spiffe://td/ns/default/app/extra", "path_form"],
  ["spiffe://td/ns/default", "path_form"],
  ["spiffe://td/NS/default/app", "path_form"],
  ["spiffe://td/sa/default/app", "path_form"],
  ["spiffe://td/ns/../app", "dot_segment"],
  ["spiffe://td/ns/./app", "dot_segment"],
  ["spiffe://td/ns/default/..", "dot_segment"],
  ["spiffe://td/ns/%2e%2e/app", "path_character"],
  ["spiffe://td/ns/default/app%2Fadmin", "path_character"],
  ["spiffe://td/ns/default/app?x=1", "path_character"],
  ["spiffe://td/ns/default/app#x", "path_character"],
  ["spiffe://td/ns/default/app\0", "path_character"],
  ["spiffe://td/ns/default/app\n", "path_character"],
  ["spiffe://td/ns/default/аpp", "path_character"],
];

for (const [text, reason] of forged) {
  test(`refuses ${JSON.stringify(text.slice(0, 60))}: ${reason}`, () => {
    assert.throws(
      () => parseSpiffeId(text),
      (error) => error instanceof SpiffeError && error.reason === reason,
    );
  });
}

test("refuses parts that would change the form of an id", () => {
  const reasonOf = (td: string, namespace: string, appId: string) => {
    try {
      return spiffeId(td, namespace, appId).uri;
    } catch (error) {
      return (error as SpiffeError).reason;
    }
  };
  assert.equal(reasonOf("td", "a/ns", "b"), "path_character");
  assert.equal(reasonOf("td/ns", "a", "b"), "trust_domain_character");
  assert.equal(reasonOf("td", "", "b"), "empty_segment");
  assert.equal(reasonOf("td", "a", ".."), "dot_segment");
});
