// From a component with resolved properties to a started driver, or a failure in Dapr's words.
import type { Driver } from "../../components/driver.ts";
import { isTruthy, Properties } from "../../components/metadata.ts";
import { messageOf } from "../../lib/kit/errors.ts";
import { type Component, componentLogName } from "../../lib/resources/component.ts";
import type { Loaded } from "../contract/ports.ts";
import { missingDriverText } from "./kinds.ts";
import type { LoaderSurroundings } from "./ports.ts";
import { applyTemplates } from "./templates.ts";

export type InitFailureKind = "CREATE_COMPONENT_FAILURE" | "INIT_COMPONENT_FAILURE";

export function initFailureText(kind: InitFailureKind, logName: string, cause: string): string {
  return `[${kind}]: initialization error occurred for ${logName}: ${cause}`;
}

export class InitFailure extends Error {
  override readonly name = "InitFailure";

  constructor(kind: InitFailureKind, component: Component, cause: unknown) {
    super(initFailureText(kind, componentLogName(component), messageOf(cause)), { cause });
  }
}

export interface StartedDriver {
  readonly loaded: Loaded<Driver>;
  readonly actorStateStore: boolean;
  /** A metadata value uses the {namespace} template. */
  readonly namespaced: boolean;
}

type Pairs = readonly (readonly [name: string, value: string])[];

/** Rejects with InitFailure; nothing is left running then. */
export async function startDriver(
  component: Component,
  kind: string,
  pairs: Pairs,
  around: LoaderSurroundings,
  signal: AbortSignal,
): Promise<StartedDriver> {
  const load = around.findDriver(component.type, component.version);
  if (load === undefined) {
    throw new InitFailure("CREATE_COMPONENT_FAILURE", component, missingDriverText(kind, component.type, component.version));
  }
  const properties = readProperties(component, kind, pairs, around);
  const loaded = {
    name: component.name,
    type: component.type,
    version: component.version,
    property: (name: string) => properties.get(name),
  };
  const objection = around.check?.(loaded) ?? null;
  if (objection !== null) throw new InitFailure("INIT_COMPONENT_FAILURE", component, objection);
  const driver = await createDriver(component, load, properties, around);
  try {
    await initWithin(driver, component, around, signal);
  } catch (error) {
    throw new InitFailure("INIT_COMPONENT_FAILURE", component, error);
  }
  return {
    loaded: Object.freeze({ ...loaded, driver }),
    namespaced: pairs.some(([, value]) => value.includes("{namespace}")),
    actorStateStore: kind === "state" && isTruthy(properties.get("actorStateStore")),
  };
}

function readProperties(component: Component, kind: string, pairs: Pairs, around: LoaderSurroundings): Properties {
  try {
    const entries = pairs.map(([name, value]) => [name, applyTemplates(name, value, around.identity, around.uuid)] as const);
    const properties = new Properties(entries);
    // A consumer group of its own per app is what makes the replicas of one app share the work.
    if (kind !== "pubsub" || (properties.get("consumerID") ?? "").trim() !== "") return properties;
    return new Properties([...entries, ["consumerID", around.identity.appId]]);
  } catch (error) {
    throw new InitFailure("INIT_COMPONENT_FAILURE", component, error);
  }
}

type Load = NonNullable<ReturnType<LoaderSurroundings["findDriver"]>>;

async function createDriver(component: Component, load: Load, properties: Properties, around: LoaderSurroundings): Promise<Driver> {
  const { identity, clock } = around;
  try {
    const module = await load();
    return module.create({
      name: component.name,
      type: component.type,
      version: component.version,
      properties,
      appId: identity.appId,
      namespace: identity.namespace,
      instanceId: identity.instanceId,
      log: around.log.scope("dapr.contrib"),
      clock,
    });
  } catch (error) {
    throw new InitFailure("INIT_COMPONENT_FAILURE", component, error);
  }
}

/** How long a driver has after its deadline to say why it was late. */
const lastWordsMs = 100;

/** A driver that does not come up in time is given up; it is closed when its init settles after all. */
async function initWithin(driver: Driver, component: Component, around: LoaderSurroundings, signal: AbortSignal): Promise<void> {
  const { clock } = around;
  const late = `init timeout for component ${componentLogName(component)}`;
  const deadline = new AbortController();
  const given = new AbortController();
  const timer = clock.after(component.initTimeoutMs, () => deadline.abort(new Error(late)));
  const last = clock.after(component.initTimeoutMs + lastWordsMs, () => given.abort(deadline.signal.reason));
  const init = new Promise<void>((resolve) => resolve(driver.init(AbortSignal.any([signal, deadline.signal]))));
  try {
    await Promise.race([init, aborted(AbortSignal.any([signal, given.signal]))]);
  } catch (error) {
    void closeWhenSettled(driver, init);
    if (!deadline.signal.aborted || messageOf(error) === late) throw error;
    throw new Error(`${messageOf(error)}\n${late}`, { cause: error });
  } finally {
    timer.cancel();
    last.cancel();
  }
}

/** The failure is told already; what closing adds to it would only hide it. */
async function closeWhenSettled(driver: Driver, init: Promise<void>): Promise<void> {
  await Promise.allSettled([init]);
  await Promise.allSettled([(async () => driver.close())()]);
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
