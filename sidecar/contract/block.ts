// A building block as the composition root sees it: routes and methods for the edges, nothing else.
import type { GrpcMethod } from "../../lib/wire/grpc/types.ts";
import type { Route } from "./http.ts";

export interface Block {
  readonly name: string;
  readonly http: readonly Route[];
  readonly grpc: readonly GrpcMethod[];
}
