// A sentry for tests: the CA's gRPC method on a test authority over TLS, with a hook that may refuse or bend an answer.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CA,
  type SignCertificateRequest,
  type SignCertificateResponse,
  SignCertificateResponseSchema,
} from "../proto/gen/dapr/proto/sentry/v1/sentry_pb.ts";
import { silentLogger } from "../telemetry/log.ts";
import { createGrpcDispatcher } from "../wire/grpc/server.ts";
import { unary } from "../wire/grpc/types.ts";
import { createH2cServer } from "../wire/http2-server.ts";
import { createListener } from "../wire/listener.ts";
import { ServerTls } from "./server-tls.ts";
import { HeldSvid, svidOf } from "./svid-source.ts";
import { around, type TestAuthority } from "./test-authority.ts";
import { HeldTrustBundle, readTrustAnchors } from "./trust-bundle.ts";
import { createLeaf, type Validity } from "./x509/certificate.ts";
import { csrFromPem, readCsr } from "./x509/csr.ts";
import { certificatesPem } from "./x509/read-certificate.ts";

export interface TestSentry extends AsyncDisposable {
  readonly address: string;
  readonly requests: SignCertificateRequest[];
  /** Who signs, what is said to be trusted, for how long. Tests change them. */
  authority: TestAuthority;
  announced: string;
  validity: () => Validity;
  /** Bends the answer, or throws. */
  answer: (response: SignCertificateResponse, request: SignCertificateRequest) => SignCertificateResponse;
  svid: HeldSvid;
  /** Certifies this app id instead of the one asked for. */
  rename: string | null;
}

export async function testSentry(
  authority: TestAuthority,
  options: { readonly id?: string; readonly port?: number } = {},
): Promise<TestSentry> {
  const { id = "spiffe://control/ns/dapr-system/dapr-sentry", port = 0 } = options;
  const { key, chain } = await authority.identity(id);
  const svid = new HeldSvid(svidOf(chain, key));
  const tls = new ServerTls({
    source: svid,
    bundle: new HeldTrustBundle(readTrustAnchors(authority.rootPem)),
    accept: null,
    log: silentLogger,
  });
  const sign = unary(CA.method.signCertificate, null, (request) => {
    sentry.requests.push(request);
    return sentry.answer(answerTo(sentry, request), request);
  });
  const maxBytes = 4 * 1024 * 1024;
  const dispatcher = createGrpcDispatcher({ methods: [sign], maxReceiveBytes: maxBytes, maxSendBytes: maxBytes, log: silentLogger });
  const http2 = createH2cServer({ maxHeaderListBytes: 65_536 });
  dispatcher.attach(http2);
  const listener = await createListener([{ host: "127.0.0.1", port }], { http1: null, http2, secure: tls, log: silentLogger });
  const [bound] = listener.addresses;
  const sentry: TestSentry = {
    address: `127.0.0.1:${(bound as { readonly port: number }).port}`,
    requests: [],
    authority,
    announced: authority.rootPem,
    validity: () => around(Date.now()),
    answer: (response) => response,
    svid,
    rename: null,
    async [Symbol.asyncDispose]() {
      tls.close();
      await listener.close({ graceMs: 0 });
    },
  };
  return sentry;
}

function answerTo({ authority, validity, announced, rename }: TestSentry, request: SignCertificateRequest): SignCertificateResponse {
  const csr = readCsr(csrFromPem(request.certificateSigningRequest));
  const uri = `spiffe://${request.trustDomain || "public"}/ns/${request.namespace}/${rename ?? request.id}`;
  const leaf = createLeaf({ publicKey: csr.publicKey, uri, validity: validity() }, authority.issuer);
  return create(SignCertificateResponseSchema, {
    workloadCertificate: Buffer.from(certificatesPem([leaf, authority.issuer.certificate])),
    trustChainCertificates: [Buffer.from(announced)],
    validUntil: timestampFromMs(leaf.notAfter),
  });
}
