// What the chart renders to, as objects.
import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { loadAll } from "js-yaml";
import { findTool, runOnlyIf } from "../../harness/cluster-tools.ts";

export type Rendered = Readonly<Record<string, unknown>> & {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly annotations?: Readonly<Record<string, string>> };
};

export const chartFolder = resolve(import.meta.dirname, "../../../charts/outrigger");
export const namespace = "dapr-system";

const helm = findTool("helm");

export const withHelm = runOnlyIf("chart", helm === null ? "there is no helm; put it on PATH or name it in HELM" : null);

const run = promisify(execFile);

/** Rejects with helm's own words. */
export async function helmRun(args: readonly string[]): Promise<string> {
  const { stdout } = await run(helm as string, [...args], { maxBuffer: 16 * 1024 * 1024 });
  return stdout;
}

/** `settings` are arguments of --set. */
export function renderText(...settings: readonly string[]): Promise<string> {
  return helmRun(["template", "outrigger", chartFolder, "-n", namespace, ...settings.flatMap((setting) => ["--set", setting])]);
}

export class Render {
  readonly objects: readonly Rendered[];

  constructor(text: string) {
    this.objects = loadAll(text).filter((object): object is Rendered => typeof object === "object" && object !== null);
  }

  static async of(...settings: readonly string[]): Promise<Render> {
    return new Render(await renderText(...settings));
  }

  all(kind: string): readonly Rendered[] {
    return this.objects.filter((object) => object.kind === kind);
  }

  /** Throws when there is not exactly one. */
  one(kind: string, name: string): Rendered {
    const found = this.all(kind).filter((object) => object.metadata.name === name);
    if (found.length !== 1) throw new Error(`${found.length} of ${kind} ${name}`);
    return found[0] as Rendered;
  }

  /** The named container of a Deployment, or its only one. */
  container(deployment: string): ContainerSpec {
    const pod = podOf(this.one("Deployment", deployment));
    const found = pod.containers.find((container) => container.name === deployment);
    if (found === undefined) throw new Error(`${deployment} has no container of its name`);
    return found;
  }
}

export interface ContainerSpec {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly [field: string]: unknown;
}

export interface PodSpec {
  readonly containers: readonly ContainerSpec[];
  readonly initContainers?: readonly ContainerSpec[];
  readonly [field: string]: unknown;
}

export function podOf(object: Rendered): PodSpec {
  const found = object.kind === "Pod" ? value(object, "spec") : value(object, "spec.template.spec");
  return found as PodSpec;
}

/** At a path of fields and indexes, e.g. `spec.ports.0.name`; undefined where there is none. */
export function value(object: unknown, path: string): unknown {
  let current: unknown = object;
  for (const part of path.split(".")) current = (current as Record<string, unknown> | undefined)?.[part];
  return current;
}

export function environmentOf(container: ContainerSpec): ReadonlyMap<string, string> {
  return new Map((container.env ?? []).map(({ name, value }) => [name, value ?? ""]));
}
