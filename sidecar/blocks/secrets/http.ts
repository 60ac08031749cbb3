// The HTTP form of the secrets API (inventory §2.2). The route `bulk` wins over a secret of that name.
import type { Secret } from "../../../components/secrets/store.ts";
import { type HttpRequest, json, queryMetadata, type Reply, type Route } from "../../contract/http.ts";
import type { SecretsVerbs } from "./secrets.ts";

export function secretRoutes(verbs: SecretsVerbs): Route[] {
  const shared = { methods: ["GET"], version: "v1.0", group: "secrets", groupVersion: "v1" } as const;
  return [
    { ...shared, path: "secrets/:storeName/bulk", name: "GetBulkSecret", handle: (request) => bulkGet(verbs, request) },
    { ...shared, path: "secrets/:storeName/:key", name: "GetSecret", handle: (request) => get(verbs, request) },
  ];
}

async function get(verbs: SecretsVerbs, request: HttpRequest): Promise<Reply> {
  const { storeName, key } = request.params as { storeName: string; key: string };
  return json(await verbs.get(storeName, key, queryMetadata(request.query), request.signal));
}

async function bulkGet(verbs: SecretsVerbs, request: HttpRequest): Promise<Reply> {
  const secrets = await verbs.bulkGet(request.params["storeName"] as string, queryMetadata(request.query), request.signal);
  const body: Record<string, Secret> = Object.create(null);
  for (const [name, secret] of secrets) body[name] = secret;
  return json(body);
}
