// The DNS domain of the cluster, for the names of the scheduler's pods: the canonical name of the API server's service.
import { Resolver } from "node:dns/promises";
import { readFile } from "node:fs/promises";
import { messageOf } from "../kit/errors.ts";
import type { Logger } from "../telemetry/log.ts";

const service = "kubernetes.default.svc";
const lookupTimeoutMs = 2_000;

/** `fallback` when the cluster does not tell. */
export async function clusterDomain(fallback: string, log: Logger): Promise<string> {
  try {
    return domainOf(await readFile("/etc/resolv.conf", "utf8")) ?? (await lookedUp());
  } catch (error) {
    log.error(`Error getting Kubernetes cluster domain, falling back to "${fallback}": ${messageOf(error)}`);
    return fallback;
  }
}

/** From a pod's search list, `<namespace>.svc.<domain> svc.<domain> <domain>`; null when it is no pod's. */
export function domainOf(resolvConf: string): string | null {
  const search = resolvConf.match(/^search\s+(.*)$/m)?.[1] ?? "";
  const name = search.split(/\s+/).find((domain) => domain.startsWith("svc."));
  return name === undefined ? null : name.slice("svc.".length).replace(/\.$/, "");
}

async function lookedUp(): Promise<string> {
  const resolver = new Resolver({ timeout: lookupTimeoutMs, tries: 1 });
  const [name] = await resolver.resolveCname(service);
  const domain = name?.startsWith(`${service}.`) ? name.slice(service.length + 1) : "";
  if (domain === "") throw new Error(`could not parse cluster domain from CNAME: ${name ?? ""}`);
  return domain;
}
