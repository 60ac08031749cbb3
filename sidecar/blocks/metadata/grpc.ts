// The gRPC form of the metadata API.
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { Dapr } from "../../../lib/proto/gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { type GrpcMethod, unary } from "../../../lib/wire/grpc/types.ts";
import type { MetadataVerbs } from "./metadata.ts";

const api = { group: "metadata", version: "v1" };

export function metadataMethods(verbs: MetadataVerbs): GrpcMethod[] {
  return [
    unary(Dapr.method.getMetadata, api, () => verbs.get()),
    unary(Dapr.method.setMetadata, api, (request) => {
      verbs.set(request.key, request.value);
      return create(EmptySchema);
    }),
  ];
}
