import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { annotationRows } from "./annotation-rows.ts";

test("docs/reference/annotations.md lists every annotation with its meaning", () => {
  const text = readFileSync(new URL("../../docs/reference/annotations.md", import.meta.url), "utf8");
  for (const [name, { help }] of Object.entries(annotationRows)) {
    const row = text.split("\n").find((line) => line.startsWith(`| \`dapr.io/${name}\` |`));
    assert.ok(row?.includes(help.replaceAll("|", "\\|")), name);
  }
});
