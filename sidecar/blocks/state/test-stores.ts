// State stores and ports for tests of the state block.

import { driverContext } from "../../../components/shared/test-context.ts";
import { create as createMemory } from "../../../components/state/memory.ts";
import type { StateStore } from "../../../components/state/store.ts";
import type { Clock } from "../../../lib/kit/clock.ts";
import { FakeClock } from "../../../lib/kit/fake-clock.ts";
import type { ComponentTable, Loaded, Policies, Policy } from "../../contract/ports.ts";
import type { StatePorts } from "./ports.ts";

export function memoryStore(clock: Clock = new FakeClock()): StateStore {
  return createMemory(driverContext("state.in-memory", {}, clock));
}

/** A store in memory with some of its members replaced (undefined: taken away): what a driver with fewer capabilities is like. */
export function alteredStore(change: Readonly<Record<string, unknown>>): StateStore {
  const store = memoryStore();
  return new Proxy(store, {
    get(target, name) {
      if (typeof name === "string" && Object.hasOwn(change, name)) return change[name];
      const member = Reflect.get(target, name, target) as unknown;
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

export function loaded<D>(name: string, driver: D, metadata: Readonly<Record<string, string>> = {}): Loaded<D> {
  return { name, type: "test", version: "v1", driver, property: (key) => metadata[key] };
}

export function tableOf<D>(...components: readonly Loaded<D>[]): ComponentTable<D> {
  return new Map(components.map((component) => [component.name, component]));
}

export const noPolicies: Policies = { outbound: () => null, inbound: () => null, app: () => null };

/** Tries up to `attempts` times without waiting. */
export function retrying(attempts: number): Policies {
  const policy: Policy = {
    retries: true,
    async run(operation, signal) {
      for (let attempt = 1; ; attempt++) {
        try {
          return await operation(signal);
        } catch (error) {
          if (attempt === attempts) throw error;
        }
      }
    },
  };
  return { ...noPolicies, outbound: () => policy };
}

export function statePorts(stores: ComponentTable<StateStore>, change: Partial<StatePorts> = {}): StatePorts {
  return { stores, policies: noPolicies, appId: "myapp", keyNamespace: "", ...change };
}
