// A DriverContext for tests of drivers.
import type { Clock } from "../../lib/kit/clock.ts";
import { silentLogger } from "../../lib/telemetry/log.ts";
import type { DriverContext } from "../driver.ts";
import { Properties } from "../metadata.ts";

export function driverContext(type: string, metadata: Readonly<Record<string, string>>, clock: Clock): DriverContext {
  return {
    name: "testcomponent",
    type,
    version: "v1",
    properties: new Properties(Object.entries(metadata)),
    appId: "testapp",
    namespace: "default",
    instanceId: "instance",
    log: silentLogger,
    clock,
  };
}
