// The tutorial hello-kubernetes of Dapr's quickstarts, with the tutorial's own manifests: E2E_QUICKSTARTS is a checkout of them. Only
// images are replaced, by ones that do the same and need no registry.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { loadAll } from "js-yaml";
import { at, type Json } from "../lib/kube/object.ts";
import type { Images } from "./images.ts";

const tutorial = "tutorials/hello-kubernetes/deploy";

/** Null: there are manifests. */
export function whyNoQuickstart(): string | null {
  const folder = process.env["E2E_QUICKSTARTS"] ?? "";
  if (folder === "") return "name a checkout of Dapr's quickstarts in E2E_QUICKSTARTS";
  return existsSync(join(folder, tutorial)) ? null : `there is no ${tutorial} in ${folder}`;
}

/** Everything the tutorial deploys, in the namespace, with its images replaced. */
export function helloKubernetes(namespace: string, { helloNode, helloPython }: Images): readonly Json[] {
  const folder = join(process.env["E2E_QUICKSTARTS"] as string, tutorial);
  const replaced = (text: string) =>
    text
      .replace(/ghcr\.io\/dapr\/samples\/hello-k8s-node:latest/, helloNode)
      .replace(/ghcr\.io\/dapr\/samples\/hello-k8s-python:latest/, helloPython)
      .replace(/imagePullPolicy: Always/, "imagePullPolicy: IfNotPresent");
  return readdirSync(folder)
    .toSorted()
    .flatMap((name) => loadAll(replaced(readFileSync(join(folder, name), "utf8"))))
    .map((object) => ({ ...(object as Json), metadata: { ...(at(object, "metadata") as Json), namespace } }));
}
