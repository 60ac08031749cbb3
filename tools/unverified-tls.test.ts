// Attack 25 of lessons.md, TLS that silently verifies nothing (ADA-1): every place in what is shipped that could is known here, with why it may.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { sourceFiles } from "./source-files.ts";

/** Where verification is not simply on, and what the user is told. */
const known: Readonly<Record<string, string>> = {
  "lib/security/server-tls.ts": "the verdict is read after the handshake, so that a refusal has a reason; tls.test.ts",
  "lib/wire/grpc/client-session.ts": "the app on grpcs, as in Dapr; sidecar/app/app.ts warns",
  "sidecar/app/http-channel.ts": "the app on https, as in Dapr; sidecar/app/app.ts warns",
  "lib/kube/access.ts": "passes on what the kubeconfig of the user says",
  "components/shared/redis-engine.ts": "insecureSkipTLSVerify of the component, which redis-settings.ts warns of",
};
/** What is shipped: not tests, and not what only developers run against servers that they have started themselves. */
const isShipped = (file: string) => !/\.test\.ts$|^(test|tools|bench|e2e)\/|test-[a-z]+\.ts$|-test-server\.ts$/.test(file);
const notSimplyOn = /rejectUnauthorized(?!: true\b)|NODE_TLS_REJECT_UNAUTHORIZED/;

test("nothing turns the verification of certificates off but what is known to", () => {
  const found = sourceFiles().filter((file) => isShipped(file) && notSimplyOn.test(readFileSync(file, "utf8")));
  const unknown = found.filter((file) => !(file in known));
  assert.deepEqual(unknown, [], "verify the peer, or tell the user that it is not done and add the file to the list");
  assert.deepEqual(
    Object.keys(known).filter((file) => !found.includes(file)),
    [],
    "no longer there: take it off the list",
  );
});
