// The token by which a workload proves to sentry who it is, and the validator it asks for. Read anew for every request,
// since Kubernetes replaces projected tokens while the process runs. The token is a secret: no error quotes it.
import { open } from "node:fs/promises";
import { messageOf } from "../kit/errors.ts";
import { SignCertificateRequest_TokenValidator as Validator } from "../proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";

export interface IdentityToken {
  /** Empty without one. */
  readonly token: string;
  readonly validator: Validator;
}

export interface TokenSource {
  /** DAPR_SENTRY_TOKEN_FILE; null when the variable is not set. */
  readonly file: string | null;
  readonly kubernetes: boolean;
  /** Where Kubernetes projects the token, in order of preference. */
  readonly projected?: readonly string[];
}

const projectedDefault = ["/var/run/secrets/dapr.io/sentrytoken/token", "/var/run/secrets/kubernetes.io/serviceaccount/token"] as const;
const tokenMaxBytes = 64 * 1024;

/** Rejects when a token file is named and cannot be used. */
export async function readIdentityToken({ file, kubernetes, projected = projectedDefault }: TokenSource): Promise<IdentityToken> {
  if (file === "") throw new Error("environmental variable DAPR_SENTRY_TOKEN_FILE is set with an empty value; name a file or unset it");
  if (file !== null) return { token: await readNamed(file), validator: kubernetes ? Validator.KUBERNETES : Validator.JWKS };
  for (const path of kubernetes ? projected : []) {
    const token = await readToken(path).catch(() => "");
    if (token !== "") return { token, validator: Validator.KUBERNETES };
  }
  return { token: "", validator: Validator.UNKNOWN };
}

async function readNamed(path: string): Promise<string> {
  const token = await readToken(path).catch((error) => {
    throw new Error(`failed to read token at path '${path}': ${messageOf(error)}`);
  });
  if (token === "") throw new Error(`token at path '${path}' is empty`);
  return token;
}

async function readToken(path: string): Promise<string> {
  await using file = await open(path);
  const { bytesRead, buffer } = await file.read(Buffer.alloc(tokenMaxBytes + 1), 0, tokenMaxBytes + 1);
  if (bytesRead > tokenMaxBytes) throw new Error(`the file has more than ${tokenMaxBytes} bytes`);
  return buffer.toString("utf8", 0, bytesRead).trim();
}
