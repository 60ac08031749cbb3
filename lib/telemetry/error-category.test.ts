import assert from "node:assert/strict";
import { test } from "node:test";
import { errorCategory } from "./error-category.ts";

test("every kind of code has Dapr's category", () => {
  const expected = {
    ERR_STATE_GET: "state",
    ERR_NOT_SUPPORTED_STATE_OPERATION: "state",
    ERR_PUBSUB_FORBIDDEN: "pubsub",
    ERR_TOPIC_NAME_EMPTY: "pubsub",
    ERR_DIRECT_INVOKE: "service-invocation",
    ERR_PERMISSION_DENIED: "secret",
    ERR_OUTBOUND_HEALTH_NOT_READY: "health",
    ERR_INSTANCE_ID_TOO_LONG: "workflow",
    ERR_MALFORMED_REQUEST: "common",
    ERROR: "common",
  };
  for (const [code, category] of Object.entries(expected)) assert.equal(errorCategory(code), category);
});
