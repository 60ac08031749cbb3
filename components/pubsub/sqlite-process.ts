// A process with one pubsub.sqlite, driven over IPC, for tests that need several: publishes on request, reports what it receives.
import { systemClock } from "../../lib/kit/clock.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import { Properties } from "../metadata.ts";
import { create } from "./sqlite.ts";

export type Command =
  | { readonly kind: "subscribe"; readonly topic: string }
  /** Publishes `count` messages `everyMs` apart, each with its number; those in flight at a time are unlimited with 0. */
  | { readonly kind: "publish"; readonly topic: string; readonly count: number; readonly everyMs: number }
  | { readonly kind: "cpu" };

export type Report =
  | { readonly kind: "ready" }
  | { readonly kind: "subscribed" }
  /** `sentAt` is the wall clock of the publisher, with fractions. */
  | { readonly kind: "received"; readonly body: string; readonly latencyMs: number }
  | { readonly kind: "acknowledged"; readonly body: string }
  | { readonly kind: "cpu"; readonly micros: number };

const signal = new AbortController().signal;
const [file, group, ...extra] = process.argv.slice(2) as [string, string, ...string[]];

function wallClock(): number {
  return performance.timeOrigin + performance.now();
}

function report(message: Report): void {
  process.send?.(message);
}

const properties = new Properties([
  ["connectionString", file],
  ["consumerID", group],
  ...extra.map((entry) => entry.split("=", 2) as [string, string]),
]);
const driver = create({
  name: "pub",
  type: "pubsub.sqlite",
  version: "v1",
  properties,
  appId: group,
  namespace: "",
  instanceId: crypto.randomUUID(),
  log: silentLogger,
  clock: systemClock,
});

async function publishOne(topic: string, body: string): Promise<void> {
  await driver.publish({ topic, data: Buffer.from(body), contentType: "", metadata: { sentAt: String(wallClock()) } }, signal);
  report({ kind: "acknowledged", body });
}

async function obey(command: Command): Promise<void> {
  if (command.kind === "cpu") {
    const { system, user } = process.cpuUsage();
    report({ kind: "cpu", micros: system + user });
  } else if (command.kind === "subscribe") {
    const handler = async (message: { data: Uint8Array; metadata: Readonly<Record<string, string>> }) => {
      report({ kind: "received", body: Buffer.from(message.data).toString(), latencyMs: wallClock() - Number(message.metadata["sentAt"]) });
    };
    await driver.subscribe({ topic: command.topic, metadata: {} }, handler, signal);
    report({ kind: "subscribed" });
  } else {
    for (let n = 0; n < command.count; n++) {
      void publishOne(command.topic, String(n));
      if (command.everyMs > 0) await new Promise((resolve) => setTimeout(resolve, command.everyMs));
      else if (n % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

process.on("message", (command: Command) => void obey(command));
process.on("disconnect", () => process.exit(0));
await driver.init(signal);
report({ kind: "ready" });
