// The gRPC form of the secrets API (inventory §3.1).
import { create } from "@bufbuild/protobuf";
import type { Secret } from "../../../components/secrets/store.ts";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import {
  GetBulkSecretResponseSchema,
  GetSecretResponseSchema,
  SecretResponseSchema,
} from "../../../lib/proto/gen/dapr/proto/runtime/v1/secret_pb.ts";
import { type GrpcMethod, unary } from "../../../lib/wire/grpc/types.ts";
import type { SecretsVerbs } from "./secrets.ts";

const api = { group: "secrets", version: "v1" };

export function secretMethods(verbs: SecretsVerbs): GrpcMethod[] {
  return [
    unary(Dapr.method.getSecret, api, async ({ storeName, key, metadata }, { signal }) =>
      create(GetSecretResponseSchema, { data: plain(await verbs.get(storeName, key, metadata, signal)) }),
    ),
    unary(Dapr.method.getBulkSecret, api, async ({ storeName, metadata }, { signal }) => {
      const secrets = await verbs.bulkGet(storeName, metadata, signal);
      const response = create(GetBulkSecretResponseSchema);
      for (const [name, secret] of secrets) define(response.data, name, create(SecretResponseSchema, { secrets: plain(secret) }));
      return response;
    }),
  ];
}

function plain(secret: Secret): { [key: string]: string } {
  const copy: { [key: string]: string } = {};
  for (const [key, value] of Object.entries(secret)) define(copy, key, value);
  return copy;
}

/** Assignment would lose a secret named `__proto__`. */
function define<T>(target: { [key: string]: T }, key: string, value: T): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}
