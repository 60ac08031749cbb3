// The process that sqlite.test.ts kills: writes key1, key2 … side by side and prints each number once it is acknowledged and all
// numbers before it are.
import { writeSync } from "node:fs";
import { systemClock } from "../../lib/kit/clock.ts";
import { driverContext } from "../shared/test-context.ts";
import { setRequest } from "./conformance.ts";
import { create } from "./sqlite.ts";

const signal = new AbortController().signal;
const store = create(driverContext("state.sqlite", { connectionString: process.argv[2] as string }, systemClock));
await store.init(signal);
const done = new Set<number>();
let next = 1;
let acknowledged = 0;

async function writeForever(): Promise<void> {
  for (;;) {
    const number = next++;
    await store.set(setRequest(`key${number}`, String(number)), signal);
    done.add(number);
    while (done.delete(acknowledged + 1)) acknowledged++;
    writeSync(1, `${acknowledged}\n`);
  }
}

await Promise.all(Array.from({ length: 8 }, writeForever));
