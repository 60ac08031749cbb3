// Many sidecars in one process, for watchers.test.ts: connections of their own, one stream each, with a certificate of
// sentry's. It prints `open` once all streams are open, and then, for each resource that has reached all, its name and when
// the last one had it (milliseconds since the epoch). Arguments: a JSON object, see `Watching`.
import { create } from "@bufbuild/protobuf";
import { ComponentUpdateRequestSchema, Operator } from "../../../lib/proto/gen/dapr/proto/operator/v1/operator_pb.ts";
import { createSecurity } from "../../../lib/security/security.ts";
import { silentLogger } from "../../../lib/telemetry/log.ts";
import { connectGrpc } from "../../../lib/wire/grpc/client.ts";
import { silentLog } from "../../../lib/wire/log.ts";
import type { SecureConnect } from "../../../lib/wire/secure.ts";

export interface Watching {
  readonly count: number;
  readonly port: number;
  readonly namespace: string;
  readonly sentryAddress: string;
  readonly anchors: string;
}

const connectingMax = 50;
const messageMaxBytes = 4 * 1024 * 1024;

const watching = JSON.parse(process.argv[2] ?? "{}") as Watching;
const { count, port, namespace, sentryAddress, anchors } = watching;
const security = createSecurity({
  mtls: true,
  mode: "standalone",
  appId: "watcher",
  namespace,
  sentryAddress,
  controlPlaneTrustDomain: "localhost",
  controlPlaneNamespace: namespace,
  trustAnchors: { pem: anchors },
  log: silentLogger,
});
await security.start(AbortSignal.timeout(20_000));

const heard = new Map<string, number>();
let left = count;
await Promise.all(Array.from({ length: connectingMax }, connectSome));
process.stdout.write("open\n");

async function connectSome(): Promise<void> {
  while (left > 0) {
    left--;
    await watch();
  }
}

/** Resolves when the operator has taken the stream: a component that is there already is no change, so it says so by its headers alone. */
async function watch(): Promise<void> {
  const channel = connectGrpc({
    target: { host: "127.0.0.1", port, tls: security.controlPlaneTls("dapr-operator") as SecureConnect },
    maxReceiveBytes: messageMaxBytes,
    maxSendBytes: messageMaxBytes,
    userAgent: "test",
    log: silentLog,
  });
  const stream = channel.serverStream(Operator.method.componentUpdate, create(ComponentUpdateRequestSchema, { namespace }));
  void hear(stream.messages);
  // The next begins when this one's handshake is over, near enough.
  await new Promise((resolve) => setTimeout(resolve, 25));
}

async function hear(messages: AsyncIterable<{ readonly component: Uint8Array }>): Promise<void> {
  for await (const { component } of messages) {
    const { metadata } = JSON.parse(Buffer.from(component).toString("utf8")) as { metadata: { name: string } };
    const times = (heard.get(metadata.name) ?? 0) + 1;
    heard.set(metadata.name, times);
    if (times === count) process.stdout.write(`${metadata.name} ${Date.now()}\n`);
  }
}
