// The works: what is asked of a subject, as the bytes of one request. A new work is one entry here. Works that are not requests
// (`start`, `idle`) stand in main.ts.
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { HTTPExtension_Verb } from "../lib/proto/gen/dapr/proto/common/v1/common_pb.ts";
import { InvokeServiceRequestSchema } from "../lib/proto/gen/dapr/proto/runtime/v1/invoke_pb.ts";
import { GetStateRequestSchema } from "../lib/proto/gen/dapr/proto/runtime/v1/state_pb.ts";
import { SignCertificateRequestSchema } from "../lib/proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";

/** App ids of the sidecar that is asked and of the one behind it; different for each subject, which may hear each other's mDNS. */
export interface Ids {
  readonly near: string;
  readonly far: string;
}

export interface HttpWork {
  readonly kind: "http";
  readonly name: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body: string;
  readonly statuses: readonly number[];
  /** Requests a second of the open loop; far enough below saturation of one core for every subject. */
  readonly rate: number;
}

export interface GrpcWork {
  readonly kind: "grpc";
  readonly name: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  /** One message with its five-byte prefix. */
  readonly body: Buffer;
  readonly metadata: Readonly<Record<string, string>>;
  /** Over TLS, whoever answers: who it is and whether it may are not what is measured. */
  readonly tls: boolean;
  readonly rate: number;
}

export type Work = HttpWork | GrpcWork;

/** What is stored and published: a small document, as in most apps. */
const value = "x".repeat(64);

function get(name: string, path: string, rate: number): HttpWork {
  return { kind: "http", name, method: "GET", path, body: "", statuses: [200], rate };
}

function post(name: string, path: string, body: unknown, rate: number): HttpWork {
  return { kind: "http", name, method: "POST", path, body: JSON.stringify(body), statuses: [200, 204], rate };
}

function grpc<D extends DescMessage>(name: string, method: string, schema: D, message: MessageInitShape<D>, rate: number): GrpcWork {
  const body = framed(toBinary(schema, create(schema, message)));
  return { kind: "grpc", name, path: `/dapr.proto.runtime.v1.Dapr/${method}`, body, metadata: {}, tls: false, rate };
}

/** A message with its prefix: not compressed, its length. */
function framed(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** A call of the app's own service, which the sidecar passes through without knowing it. */
function proxied(name: string, id: string, rate: number): GrpcWork {
  const metadata = { "dapr-app-id": id };
  return { kind: "grpc", name, path: "/bench.App/Hello", body: framed(Buffer.from(value)), metadata, tls: false, rate };
}

function invokeService(name: string, id: string, rate: number): GrpcWork {
  const message = { method: "hello", httpExtension: { verb: HTTPExtension_Verb.GET } };
  return grpc(name, "InvokeService", InvokeServiceRequestSchema, { id, message }, rate);
}

/** The key that `state-get-*` reads; saved once before. */
export const savedState = [{ key: "bench", value }];

export function worksFor(ids: Ids): readonly Work[] {
  return [
    get("http-invoke-1", `/v1.0/invoke/${ids.near}/method/hello`, 1000),
    get("http-invoke-2", `/v1.0/invoke/${ids.far}/method/hello`, 500),
    invokeService("grpc-invoke-1", ids.near, 500),
    invokeService("grpc-invoke-2", ids.far, 500),
    get("state-get-http", "/v1.0/state/statestore/bench", 1000),
    post("state-save-http", "/v1.0/state/statestore", savedState, 1000),
    post("publish-http", "/v1.0/publish/pubsub/bench", { value }, 1000),
    grpc("state-get-grpc", "GetState", GetStateRequestSchema, { storeName: "statestore", key: "bench" }, 1000),
  ];
}

/** With apps that speak gRPC. */
export function proxyWorks(ids: Ids): readonly Work[] {
  return [proxied("grpc-proxy-1", ids.near, 500), proxied("grpc-proxy-2", ids.far, 500)];
}

/** With mutual TLS between the sidecars; otherwise what `http-invoke-2` does. */
export function meshWorks(ids: Ids): readonly Work[] {
  return [get("mtls-invoke-2", `/v1.0/invoke/${ids.far}/method/hello`, 500)];
}

/** What a new sidecar asks sentry for. `csr` in PEM. */
export function signWork(csr: string): Work {
  const request = create(SignCertificateRequestSchema, {
    id: "bench",
    namespace: "default",
    certificateSigningRequest: Buffer.from(csr),
  });
  const body = framed(toBinary(SignCertificateRequestSchema, request));
  return { kind: "grpc", name: "sentry-sign", path: "/dapr.proto.sentry.v1.CA/SignCertificate", body, metadata: {}, tls: true, rate: 200 };
}

/** What nginx is asked, as the unit: the same app, one hop. */
export const nginxWork: HttpWork = get("http-invoke-1", "/hello", 1000);

/** Admission reviews; see injector-patch.ts. */
export const injectorPatch = { name: "injector-patch", rate: 200, p99BudgetMs: 5 } as const;
