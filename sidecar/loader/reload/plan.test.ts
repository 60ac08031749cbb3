import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Component } from "../../../lib/resources/component.ts";
import type { Subscription } from "../../../lib/resources/subscription.ts";
import { ChangeQueue } from "./change-queue.ts";
import { type Change, isListing, type Listing } from "./feed.ts";
import { anyContent, freeName, type Known, planListing, restartReason } from "./plan.ts";

const nothing: Known = {
  Component: new Map(),
  Subscription: new Map(),
  Configuration: new Map(),
  HTTPEndpoint: new Map(),
  Resiliency: new Map(),
};
const component = (name: string, type = "state.a") => ({ name, type }) as Component;
const subscription = (name: string, topic = "t") => ({ name, topic }) as Subscription;
const digest = (resource: object) => JSON.stringify(resource);
const said = (changes: readonly Change[]) => changes.map(({ kind, type, name }) => `${type} ${kind} ${name}`);

test("deleted first, then secret stores, then updated, then created", () => {
  const known = {
    ...nothing,
    Component: new Map([
      ["old", anyContent],
      ["kept", anyContent],
    ]),
    Subscription: new Map([
      ["s1", digest(subscription("s1"))],
      ["s2", "other"],
      ["s3", "any"],
    ]),
  };
  const listing = {
    Component: [component("new"), component("kept"), component("vault", "secretstores.x")],
    Subscription: [subscription("s1"), subscription("s2")],
    complete: true,
  };
  assert.deepEqual(said(planListing(known, listing, digest)), [
    "DELETED Component old",
    "DELETED Subscription s3",
    "CREATED Component vault",
    "UPDATED Component kept",
    "UPDATED Subscription s2",
    "CREATED Component new",
  ]);
});

test("an incomplete listing deletes nothing, and one of other kinds touches none that it does not list", () => {
  const known = { ...nothing, Component: new Map([["a", anyContent]]), Subscription: new Map([["s", "x"]]) };
  assert.deepEqual(planListing(known, { Component: [], complete: false }, digest), []);
  assert.deepEqual(said(planListing(known, { Component: [], complete: true }, digest)), ["DELETED Component a"]);
});

test("every subscription of one name counts", () => {
  const listing = { Subscription: [subscription("", "a"), subscription("", "b")], complete: true };
  assert.deepEqual(said(planListing(nothing, listing, digest)), ["CREATED Subscription ", "CREATED Subscription #2"]);
  assert.equal(freeName(new Set(["x", "x#2"]), "x"), "x#3");
});

test("a listing of what is known already means nothing", () => {
  const listings = fc.array(fc.record({ name: fc.constantFrom("a", "b", "c", "d"), topic: fc.string() }), { maxLength: 8 });
  fc.assert(
    fc.property(listings, listings, (before, after) => {
      const state = new Map<string, string>();
      for (const { name, type, resource } of planListing(nothing, listing(before), digest)) {
        assert.equal(type, "CREATED");
        state.set(name, digest(resource));
      }
      for (const change of planListing({ ...nothing, Subscription: state }, listing(after), digest)) {
        if (change.type === "DELETED") state.delete(change.name);
        else state.set(change.name, digest(change.resource));
      }
      assert.deepEqual([...state.values()].toSorted(), after.map(digest).toSorted());
      assert.deepEqual(planListing({ ...nothing, Subscription: state }, listing(after), digest), []);
    }),
  );
});

function listing(list: readonly { readonly name: string }[]): Listing {
  return { Subscription: list as readonly Subscription[], complete: true };
}

test("what is read at the start only asks for a new start when it is new, changed or gone", () => {
  const known = new Map([["tracing", "1"]]);
  const change = (type: Change["type"], name = "tracing") =>
    ({ kind: "Configuration", type, name, resource: { name } }) as const satisfies Change;
  assert.equal(restartReason(known, change("UPDATED"), "1"), null);
  assert.equal(restartReason(known, change("CREATED"), "1"), null);
  assert.equal(restartReason(known, change("DELETED", "other"), "1"), null);
  assert.equal(restartReason(known, change("UPDATED"), "2"), "Received Configuration UPDATED event: tracing - triggering SIGHUP reload");
  assert.equal(restartReason(known, change("DELETED"), "1"), "Received Configuration DELETED event: tracing - triggering SIGHUP reload");
  assert.equal(
    restartReason(known, change("CREATED", "other"), "1"),
    "Received Configuration CREATED event: other - triggering SIGHUP reload",
  );
});

test("the queue keeps the order of resources and only the last word on each", () => {
  const queue = new ChangeQueue();
  const change = (type: Change["type"], name: string) => ({ kind: "Component", type, name, resource: component(name) }) as const;
  for (let again = 0; again < 10_000; again++) queue.push(change("UPDATED", `c${again % 3}`));
  queue.push(change("DELETED", "c0"));
  const list: Listing = { Component: [], complete: true };
  queue.push({ Component: [component("stale")], complete: true });
  queue.push(list);
  queue.push({ Subscription: [], complete: true });
  queue.push(change("CREATED", "c0"));
  const taken: string[] = [];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    taken.push(isListing(next) ? `list ${Object.keys(next)[0]} ${next === list}` : `${next.type} ${next.name}`);
  }
  assert.deepEqual(taken, ["UPDATED c1", "UPDATED c2", "DELETED c0", "list Component true", "list Subscription false", "CREATED c0"]);
  assert.ok(queue.isEmpty);
});
