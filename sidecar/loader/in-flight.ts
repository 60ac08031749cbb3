// Counts the calls that a driver is working on, so that it can be closed after the last of them while the sidecar runs on.
import type { Driver } from "../../components/driver.ts";

export interface Tracked<D extends Driver> {
  /** Stands for the driver wherever it is called. */
  readonly driver: D;
  /** Calls that have not settled. */
  readonly inFlight: number;
  /** Resolves as soon as none is in flight. */
  idle(): Promise<void>;
}

type Verb = (...parameters: unknown[]) => unknown;

class Counter {
  count = 0;
  #waiting: (() => void)[] = [];
  /** One closure for all calls: they are many. */
  readonly leave = (): void => {
    if (--this.count === 0) for (const resolve of this.#waiting.splice(0)) resolve();
  };

  idle(): Promise<void> {
    return this.count === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}

export function trackInFlight<D extends Driver>(driver: D): Tracked<D> {
  const counter = new Counter();
  const tracked: Record<string, unknown> = {};
  for (const name of namesOf(driver)) {
    const value = driver[name as keyof D] as unknown;
    if (typeof value === "function") tracked[name] = counted(driver, value as Verb, counter);
    else Object.defineProperty(tracked, name, { get: () => driver[name as keyof D], enumerable: true });
  }
  return {
    driver: tracked as unknown as D,
    get inFlight() {
      return counter.count;
    },
    idle: () => counter.idle(),
  };
}

/** Names of own and inherited members: drivers are classes. */
function namesOf(driver: object): ReadonlySet<string> {
  const names = new Set<string>();
  for (let one: object | null = driver; one !== null && one !== Object.prototype; one = Object.getPrototypeOf(one)) {
    for (const name of Object.getOwnPropertyNames(one)) if (name !== "constructor") names.add(name);
  }
  return names;
}

/** Verbs have four parameters at most, which spares every call an array. */
function counted(driver: Driver, verb: Verb, counter: Counter): Verb {
  return (a, b, c, d) => {
    const result = verb.call(driver, a, b, c, d);
    if (result instanceof Promise) {
      counter.count++;
      result.then(counter.leave, counter.leave);
    }
    return result;
  };
}
