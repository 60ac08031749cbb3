// HTTPEndpoint, dapr.io/v1alpha1: an HTTP service outside the mesh that apps call by name.
import type { Parsed } from "./problem.ts";
import type { ObjectReader } from "./reader.ts";
import {
  dynamicText,
  type NameValue,
  nameValues,
  openResource,
  type ResourceMetadata,
  type ResourceType,
  type SecretKeyRef,
  secretKeyRef,
} from "./resource.ts";
import type { Value } from "./yaml.ts";

export const httpEndpointType: ResourceType = Object.freeze({ apiVersion: "dapr.io/v1alpha1", kind: "HTTPEndpoint" });

/** A PEM document, as text or by reference. */
export interface TlsDocument {
  readonly value: string | null;
  readonly secretKeyRef: SecretKeyRef | null;
}

export interface ClientTls {
  readonly rootCa: TlsDocument | null;
  readonly certificate: TlsDocument | null;
  readonly privateKey: TlsDocument | null;
  readonly renegotiation: "Never" | "OnceAsClient" | "FreelyAsClient";
}

export interface HttpEndpoint extends ResourceMetadata {
  readonly baseUrl: string;
  readonly headers: readonly NameValue[];
  readonly clientTls: ClientTls | null;
  readonly secretStore: string;
}

export function parseHttpEndpoint(value: Value, file: string): Parsed<HttpEndpoint> {
  const { reader, list, name, namespace, scopes } = openResource(value, file);
  const spec = reader.part("spec");
  const auth = reader.object("auth");
  const tls = spec.object("clientTLS");
  const baseUrl = spec.required("baseUrl", "give the URL that calls go to, e.g. https://api.example.com");
  if (baseUrl !== "" && !URL.canParse(baseUrl))
    list.error(spec.at("baseUrl"), "this is not a URL", "write it with its scheme, e.g. https://api.example.com");
  const endpoint: HttpEndpoint = Object.freeze({
    name,
    namespace,
    scopes,
    baseUrl,
    headers: nameValues(spec, "headers"),
    clientTls: tls === null ? null : clientTls(tls),
    secretStore: auth?.string("secretStore") ?? "",
  });
  spec.end();
  auth?.end();
  reader.end();
  return list.result(endpoint);
}

function clientTls(reader: ObjectReader): ClientTls {
  const tls: ClientTls = {
    rootCa: tlsDocument(reader.object("rootCA")),
    certificate: tlsDocument(reader.object("certificate")),
    privateKey: tlsDocument(reader.object("privateKey")),
    renegotiation: reader.choice("renegotiation", ["Never", "OnceAsClient", "FreelyAsClient"], "Never"),
  };
  reader.end();
  return Object.freeze(tls);
}

function tlsDocument(reader: ObjectReader | null): TlsDocument | null {
  if (reader === null) return null;
  const document = { value: dynamicText(reader.value("value")), secretKeyRef: secretKeyRef(reader) };
  reader.end();
  return Object.freeze(document);
}
