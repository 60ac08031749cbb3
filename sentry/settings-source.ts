// Where sentry's Configuration comes from: a file, or an object of sentry's namespace in Kubernetes. Not finding it ends
// the start, in Dapr's words.
import { readFile, stat } from "node:fs/promises";
import { messageOf } from "../lib/kit/errors.ts";
import { plainValue, yamlMaxBytes } from "../lib/resources/yaml.ts";
import type { Environment, SentryConfig } from "./config.ts";
import type { KubernetesApi } from "./kubernetes/api.ts";
import { type MtlsConfig, readConfigurationText, readMtls } from "./mtls-settings.ts";

const defaultName = "daprsystem";

/** `api` is null outside of Kubernetes. */
export async function loadMtls(
  { mode, configName, namespace }: Pick<SentryConfig, "mode" | "configName" | "namespace">,
  env: Environment,
  api: Pick<KubernetesApi, "configuration"> | null,
  signal: AbortSignal,
): Promise<MtlsConfig> {
  try {
    if (api === null) return readMtls(readConfigurationText(await readText(configName), env), configName, mode);
    const object = await api.configuration(namespace, configName || defaultName, signal);
    if (object === null) throw new Error("config CRD not found");
    return readMtls(plainValue(object), configName, mode);
  } catch (error) {
    throw new Error(`loading default config. couldn't find config name ${JSON.stringify(configName)}: ${messageOf(error)}`);
  }
}

async function readText(path: string): Promise<string> {
  try {
    const { size } = await stat(path);
    if (size > yamlMaxBytes) throw new Error(`the file has ${size} bytes; at most ${yamlMaxBytes} are read`);
    return await readFile(path, "utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const words = { ENOENT: "no such file or directory", EACCES: "permission denied", EISDIR: "is a directory" } as Record<string, string>;
    throw Object.hasOwn(words, code) ? new Error(`stat ${path}: ${words[code]}`) : error;
  }
}
