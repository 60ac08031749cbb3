// When the settings ask for native sidecar containers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { readSidecarSettings } from "./sidecar-settings.ts";

test("NATIVE_SIDECAR_AUTO wins over NATIVE_SIDECAR_ENABLED, which Dapr's chart knows as true and false only", () => {
  const read = (env: Readonly<Record<string, string>>) =>
    readSidecarSettings({ NAMESPACE: "a", SIDECAR_IMAGE: "b", ...env }, true).settings.nativeSidecar;
  assert.equal(read({}), "auto");
  assert.equal(read({ NATIVE_SIDECAR_ENABLED: "true" }), "always");
  assert.equal(read({ NATIVE_SIDECAR_ENABLED: "false" }), "never");
  assert.equal(read({ NATIVE_SIDECAR_ENABLED: "false", NATIVE_SIDECAR_AUTO: "true" }), "auto");
  assert.equal(read({ NATIVE_SIDECAR_ENABLED: "true", NATIVE_SIDECAR_AUTO: "false" }), "always");
});
