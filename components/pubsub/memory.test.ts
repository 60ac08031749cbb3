import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "../../lib/kit/clock.ts";
import { type Logger, silentLogger } from "../../lib/telemetry/log.ts";
import type { DriverContext } from "../driver.ts";
import { Properties } from "../metadata.ts";
import { Inbox, pubSubConformance, text } from "./conformance.ts";
import { create } from "./memory.ts";

const signal = new AbortController().signal;

function context(log: Logger = silentLogger): DriverContext {
  const properties = new Properties([]);
  return {
    name: "pub",
    type: "pubsub.in-memory",
    version: "v1",
    properties,
    appId: "app",
    namespace: "",
    instanceId: "i",
    log,
    clock: systemClock,
  };
}

pubSubConformance("pubsub.in-memory", {
  open: async () => {
    const driver = create(context());
    await driver.init(signal);
    return driver;
  },
  redelivers: false,
  durable: false,
  competes: false,
  wildcards: true,
  drainsBy: "handing over",
});

describe("pubsub.in-memory", () => {
  it("makes publishers wait for a subscriber a thousand messages behind, and lets them give up", async () => {
    const driver = create(context());
    const gate = Promise.withResolvers<void>();
    const inbox = new Inbox();
    await driver.subscribe({ topic: "t", metadata: {} }, (m) => inbox.putAnd(m, gate.promise), signal);
    const publish = (value: number, abort = signal) =>
      driver.publish({ topic: "t", data: text(String(value)), contentType: "", metadata: {} }, abort);
    for (let n = 0; n < 1000; n++) await publish(n);
    const impatient = new AbortController();
    const given = publish(1000, impatient.signal);
    impatient.abort(new Error("gave up"));
    await assert.rejects(given, /gave up/);
    const patient = publish(1001);
    gate.resolve();
    await patient;
    assert.equal((await inbox.texts(1001)).at(-1), "1001");
    await driver.close();
  });

  it("logs what a handler refuses", async () => {
    const logged = Promise.withResolvers<string>();
    const log: Logger = { ...silentLogger, error: logged.resolve };
    const driver = create(context(log));
    await driver.subscribe({ topic: "t", metadata: {} }, () => Promise.reject(new Error("no thanks")), signal);
    await driver.publish({ topic: "t", data: text("x"), contentType: "", metadata: {} }, signal);
    assert.equal(await logged.promise, "no thanks");
    await driver.close();
  });

  it("refuses work once closed", async () => {
    const driver = create(context());
    await driver.close();
    await assert.rejects(driver.publish({ topic: "t", data: text("x"), contentType: "", metadata: {} }, signal), /component is closed/);
  });
});
