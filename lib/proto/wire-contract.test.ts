// The wire contract held to bytes written by hand: field numbers, types and JSON names that peers of other make rely on.
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary, toJson } from "@bufbuild/protobuf";
import { JobFailurePolicySchema, StateItemSchema } from "./gen/dapr/proto/common/v1/common_pb.ts";
import { InternalInvokeRequestStreamSchema } from "./gen/dapr/proto/internals/v1/service_invocation_pb.ts";
import {
  ComponentUpdateEventSchema,
  ConfigurationUpdateEventSchema,
  GetConfigurationRequestSchema,
  HTTPEndpointUpdateEventSchema,
  ListSubscriptionsRequestSchema,
  Operator,
  ResourceEventType,
} from "./gen/dapr/proto/operator/v1/operator_pb.ts";
import { GetActorReminderRequestSchema } from "./gen/dapr/proto/runtime/v1/actors_pb.ts";
import { type TopicEventRequest, TopicEventRequestSchema } from "./gen/dapr/proto/runtime/v1/appcallback_pb.ts";
import { Dapr } from "./gen/dapr/proto/runtime/v1/dapr_pb.ts";
import { SignCertificateRequestSchema, SignCertificateResponseSchema } from "./gen/dapr/proto/sentry/v1/sentry_pb.ts";
import { StatusSchema } from "./gen/google/rpc/status_pb.ts";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(" ", ""), "hex");

test("a state item with etag and options", () => {
  // key=1 "k", value=2 "v", etag=3 {value=1 "7"}, options=5 {concurrency=1: 1, consistency=2: 2}
  const item = fromBinary(StateItemSchema, bytes("0a016b 120176 1a03 0a0137 2a04 0801 1002"));
  assert.deepEqual([item.key, Buffer.from(item.value).toString(), item.etag?.value], ["k", "v", "7"]);
  assert.deepEqual([item.options?.concurrency, item.options?.consistency], [1, 2]);
});

test("an event: topic is 6 and data 7, whatever order they are declared in", () => {
  const event: TopicEventRequest = fromBinary(TopicEventRequestSchema, bytes("3201 74 3a01 64 4201 70"));
  assert.deepEqual([event.topic, Buffer.from(event.data).toString(), event.pubsubName], ["t", "d", "p"]);
});

test("a frame between sidecars", () => {
  const frame = create(InternalInvokeRequestStreamSchema, { payload: { data: bytes("ff"), seq: 2n } });
  assert.deepEqual(Buffer.from(toBinary(InternalInvokeRequestStreamSchema, frame)), bytes("12 05 0a01ff 1002"));
});

test("presence: zero retries is not the same as no limit", () => {
  const none = fromBinary(JobFailurePolicySchema, bytes("1200")).policy;
  const zero = fromBinary(JobFailurePolicySchema, bytes("12021000")).policy;
  assert.ok(none.case === "constant" && zero.case === "constant");
  assert.deepEqual([none.value.maxRetries, zero.value.maxRetries], [undefined, 0]);
});

test("a status as it stands in grpc-status-details-bin", () => {
  const status = fromBinary(StatusSchema, bytes("0805 1201 6d 1a05 0a0161 1200"));
  assert.deepEqual([status.code, status.message, status.details.map((any) => any.typeUrl)], [5, "m", ["a"]]);
});

test("odd JSON names are kept", () => {
  assert.deepEqual(toJson(GetActorReminderRequestSchema, create(GetActorReminderRequestSchema, { actorId: "1" })), { actorID: "1" });
});

test("every method of the public API of 1.18 is there", () => {
  assert.equal(Dapr.typeName, "dapr.proto.runtime.v1.Dapr");
  assert.equal(Dapr.methods.length, 72);
});

test("a request to sentry, and its answer with the tokens beside the certificate", () => {
  // id=1 "i", token=2 "t", trust_domain=3 "d", namespace=4 "n", csr=5 "c", token_validator=6 JWKS, jwt_audiences=7 ["a"]
  const request = fromBinary(SignCertificateRequestSchema, bytes("0a0169 120174 1a0164 22016e 2a0163 3003 3a0161"));
  const { id, token, trustDomain, namespace, certificateSigningRequest: csr, tokenValidator, jwtAudiences } = request;
  assert.deepEqual([id, token, trustDomain, namespace, Buffer.from(csr).toString()], ["i", "t", "d", "n", "c"]);
  assert.deepEqual([tokenValidator, jwtAudiences], [3, ["a"]]);
  // workload_certificate=1 "w", trust_chain_certificates=2 ["r"], valid_until=3 {seconds 1}, jwt=4 {"j"}, per_audience_jwts=5 {"a": {"k"}}
  const response = fromBinary(SignCertificateResponseSchema, bytes("0a0177 120172 1a020801 22030a016a 2a080a016112030a016b"));
  assert.deepEqual([Buffer.from(response.workloadCertificate).toString(), response.trustChainCertificates.length], ["w", 1]);
  assert.deepEqual([response.validUntil?.seconds, response.jwt, response.perAudienceJwts["a"]?.value], [1n, "j", "k"]);
});

test("the operator: a namespace is 1, except where a pod's name came first; an old sidecar's pod name is passed over", () => {
  // name=1 "c", namespace=2 "n", and in 3 the pod name of a sidecar before 1.17
  const asked = fromBinary(GetConfigurationRequestSchema, bytes("0a0163 12016e 1a0170"));
  assert.deepEqual([asked.name, asked.namespace], ["c", "n"]);
  assert.equal(fromBinary(ListSubscriptionsRequestSchema, bytes("0a0170 12016e")).namespace, "n");
});

test("an event of the operator: resource 1, type 2", () => {
  const event = fromBinary(ComponentUpdateEventSchema, bytes("0a027b7d 1003"));
  assert.deepEqual([Buffer.from(event.component).toString(), event.type], ["{}", ResourceEventType.DELETED]);
  assert.equal(fromBinary(ConfigurationUpdateEventSchema, bytes("1001")).type, ResourceEventType.CREATED);
  assert.deepEqual(Buffer.from(fromBinary(HTTPEndpointUpdateEventSchema, bytes("0a0161")).httpEndpoints), bytes("61"));
});

test("every method of the operator of 1.18 is there", () => {
  assert.equal(Operator.typeName, "dapr.proto.operator.v1.Operator");
  assert.equal(Operator.methods.length, 16);
});
