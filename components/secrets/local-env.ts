// secretstores.local.env v1: the process's environment, the one driver whose job it is to read it. `prefix` is put before every
// name. APP_API_TOKEN and DAPR_* are the sidecar's own and never given out.
import type { Logger } from "../../lib/telemetry/log.ts";
import type { DriverContext } from "../driver.ts";
import type { Secret, SecretFeature, SecretStore } from "./store.ts";

type Environment = Readonly<Record<string, string | undefined>>;

export function create(context: DriverContext, environment: Environment = process.env): SecretStore {
  return new LocalEnv(context.properties.string("prefix", ""), environment, context.log);
}

class LocalEnv implements SecretStore {
  readonly features: readonly SecretFeature[] = [];
  readonly #prefix: string;
  readonly #environment: Environment;
  readonly #log: Logger;

  constructor(prefix: string, environment: Environment, log: Logger) {
    this.#prefix = prefix;
    this.#environment = environment;
    this.#log = log;
  }

  async init(): Promise<void> {}

  async close(): Promise<void> {}

  /** A variable that is not set is an empty secret, as in Dapr. */
  async get(name: string): Promise<Secret> {
    const variable = this.#prefix + name;
    if (isOwn(variable)) this.#log.warn(`Access to env var ${name} is forbidden`);
    const value = isOwn(variable) || !Object.hasOwn(this.#environment, variable) ? "" : (this.#environment[variable] ?? "");
    return secretOf(name, value);
  }

  async bulkGet(): Promise<ReadonlyMap<string, Secret>> {
    const secrets = new Map<string, Secret>();
    for (const [variable, value] of Object.entries(this.#environment)) {
      if (isOwn(variable) || !variable.startsWith(this.#prefix)) continue;
      const name = variable.slice(this.#prefix.length);
      if (name !== "") secrets.set(name, secretOf(name, value ?? ""));
    }
    return secrets;
  }
}

function secretOf(name: string, value: string): Secret {
  const secret: Record<string, string> = Object.create(null);
  secret[name] = value;
  return secret;
}

function isOwn(variable: string): boolean {
  const upper = variable.toUpperCase();
  return upper === "APP_API_TOKEN" || upper.startsWith("DAPR_");
}
