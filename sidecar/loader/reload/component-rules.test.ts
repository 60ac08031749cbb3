import assert from "node:assert/strict";
import { test } from "node:test";
import { type Component, parseComponent } from "../../../lib/resources/component.ts";
import { plainValue } from "../../../lib/resources/yaml.ts";
import { type ComponentEvent, type ComponentState, stepComponent } from "./component-rules.ts";

function component(name: string, metadata: readonly string[] = [], type = "state.a"): Component {
  const pairs = metadata.map((key) => ({ name: key, value: "true" }));
  const parsed = parseComponent(plainValue({ metadata: { name }, spec: { type, version: "v1", metadata: pairs } }), "test");
  return parsed.resource as Component;
}

/** Carries the effects out as the loader would, and notes them. */
class World {
  readonly notes: string[] = [];
  state: ComponentState = { installed: new Map(), actorStateStore: null, skipped: null };

  apply(event: ComponentEvent): void {
    const [skipped, effects] = stepComponent(this.state, event);
    const installed = new Map(this.state.installed);
    let { actorStateStore } = this.state;
    for (const effect of effects) {
      if (effect.kind === "log") this.notes.push(effect.level === "error" ? `error ${effect.message}` : effect.message);
      else if (effect.kind === "close") {
        this.notes.push(`close ${effect.name}`);
        installed.delete(effect.name);
        if (actorStateStore === effect.name) actorStateStore = null;
      } else {
        const { component: one } = effect;
        this.notes.push(`start ${one.name}`);
        installed.set(one.name, { component: one, fingerprint: JSON.stringify(one) });
        if (one.metadata.some(({ name }) => name === "actorStateStore")) actorStateStore = one.name;
      }
    }
    this.state = { installed, actorStateStore, skipped };
  }

  want(one: Component): string[] {
    this.apply({ kind: "wanted", component: one, fingerprint: JSON.stringify(one) });
    this.apply({ kind: "settled" });
    return this.notes.splice(0);
  }

  drop(name: string): string[] {
    this.apply({ kind: "unwanted", name });
    this.apply({ kind: "settled" });
    return this.notes.splice(0);
  }
}

const log = "(state.a/v1)";

test("starts what is new, replaces what changed, leaves alone what is the same, closes what goes", () => {
  const world = new World();
  assert.deepEqual(world.want(component("a")), [`Adding Component for processing: a ${log}`, "start a"]);
  assert.deepEqual(world.want(component("a")), [`Component update skipped: no changes detected: a ${log}`]);
  assert.deepEqual(world.want(component("a", ["x"])), [
    `Closing existing Component to reload: a ${log}`,
    "close a",
    `Adding Component for processing: a ${log}`,
    "start a",
  ]);
  assert.deepEqual(world.drop("a"), ["close a"]);
});

test("a second actor state store waits until the first is gone, or is none any more", () => {
  const world = new World();
  world.want(component("first", ["actorStateStore"]));
  const skip =
    `error Skipping hot reload of second ${log}: first is already the actor state store, only one actor state store is allowed. ` +
    "The component will be applied if first is removed";
  assert.deepEqual(world.want(component("second", ["ACTORSTATESTORE"])), [skip]);
  assert.deepEqual(world.want(component("plain")).at(-1), "start plain");
  const replay = [`Applying previously skipped actor state store: second ${log}`, "start second"];
  assert.deepEqual(world.drop("first"), ["close first", ...replay]);

  const other = new World();
  other.want(component("first", ["actorStateStore"]));
  other.want(component("second", ["actorStateStore"]));
  assert.deepEqual(other.want(component("first")).slice(-3), ["start first", ...replay]);
  assert.equal(other.state.actorStateStore, "second");
});

test("a later word on the store that waits replaces the earlier one", () => {
  const world = new World();
  world.want(component("first", ["actorStateStore"]));
  world.want(component("second", ["actorStateStore"]));
  assert.equal(world.want(component("second")).at(-1), "start second");
  assert.deepEqual(world.drop("first"), ["close first"]);
  world.want(component("first", ["actorStateStore"]));
  world.want(component("third", ["actorStateStore"]));
  assert.deepEqual([world.drop("third"), world.drop("first")], [["close third"], ["close first"]]);
});

test("the mark counts on state stores only", () => {
  const world = new World();
  world.want(component("first", ["actorStateStore"]));
  assert.equal(world.want(component("p", ["actorStateStore"], "pubsub.a")).at(-1), "start p");
});
