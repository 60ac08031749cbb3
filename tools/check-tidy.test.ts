import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "./check-tidy.ts";

const longBody = Array.from({ length: 75 }, (_, index) => `  f(${index});`).join("\n");

test("a function of more than 70 lines is found, with its line", () => {
  const source = `// header\n\nimport { f } from "./f.ts";\n\nexport function long() {\n${longBody}\n}\n`;
  assert.deepEqual(inspect("lib/a.ts", source), [{ file: "lib/a.ts", line: 5, problem: "a function of 77 lines, at most 70" }]);
});

test("a file of more than 400 lines is found", () => {
  assert.equal(inspect("lib/a.ts", "f();\n".repeat(401)).length, 1);
  assert.equal(inspect("lib/a.ts", "f();\n".repeat(400)).length, 0);
});

test("test bodies may be long, test files may not", () => {
  assert.equal(inspect("lib/a.test.ts", `test(() => {\n${longBody}\n});\n`).length, 0);
  assert.equal(inspect("lib/a.test.ts", "f();\n".repeat(500)).length, 1);
});
