// Malformed resource files: each costs itself alone, with one line that names the file, the cause and the remedy; what else is in the
// folder works. A Configuration that cannot be read ends the start, since what it protects would be open.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { component } from "../../build/resource.ts";
import { daprd, daprdPath } from "../../harness/daprd.ts";
import { Folder } from "../../harness/folder.ts";
import { reservePorts } from "../../harness/ports.ts";
import { Program } from "../../harness/program.ts";

const head = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: bad\n";
const aliases = Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(",")}]`);
const bomb = `${head}a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n${aliases.join("\n")}\nspec: {type: state.in-memory, version: v1, metadata: *a9}\n`;

/** Text of a second file, and the warning about it. */
const files: Readonly<Record<string, readonly [text: string, warning: RegExp]>> = {
  "broken YAML": ["a: [b\n c: }", /01\.yaml: .+ \(2:3\); correct the YAML; the document is left out/],
  "a tab as indentation": ["a: b\n\tc: d", /01\.yaml: tab characters .* correct the YAML/],
  "bytes that are no text": ["\u0000\u0001\ufffe", /01\.yaml: null byte is not allowed.* correct the YAML/],
  "an alias bomb": [bomb, /01\.yaml: the document holds more than \d+ values/],
  "lists nested without end": [`a: ${"[".repeat(20_000)}`, /01\.yaml: nesting exceeded/],
  "a tag that asks for code": [`${head}spec: !!js/function 'function(){}'\n`, /01\.yaml: unknown scalar tag/],
  "no type": [`${head}spec:\n  version: v1\n`, /01\.yaml: spec\.type: the field is missing or empty; name the driver/],
  "fields of the wrong kind": [
    `${head}spec:\n  type: state.in-memory\n  version: [a]\n  metadata: {a: b}\n`,
    /spec\.version: a list is not text; write text here.*spec\.metadata: a mapping is not a list; write a list here/,
  ],
  "no name": [
    "apiVersion: dapr.io/v1alpha1\nkind: Component\nspec:\n  type: state.in-memory\n  version: v1\n",
    /metadata\.name: the name is empty/,
  ],
};

describe("a malformed resource file", () => {
  for (const [name, [text, warning]] of Object.entries(files)) {
    test(`with ${name} costs itself alone`, async () => {
      await using sidecar = await daprd({ resources: [component("good", "state.in-memory"), text] });
      await sidecar.program.line(warning);
      const { components } = (await (await sidecar.fetch("/v1.0/metadata")).json()) as { components: { name: string }[] };
      assert.deepEqual(
        components.map((each) => each.name),
        ["good"],
      );
      assert.equal((await sidecar.post("/v1.0/state/good", [{ key: "a", value: 1 }])).status, 204);
    });
  }

  test("with __proto__ changes no prototype, and is said to have no effect", async () => {
    const metadata = "  - name: __proto__\n    value: x\n  - name: constructor\n    value: y\n";
    const text = `${head}__proto__: {polluted: true}\nspec:\n  type: state.in-memory\n  version: v1\n  metadata:\n${metadata}`;
    await using sidecar = await daprd({ resources: [component("good", "state.in-memory"), text] });
    await sidecar.program.line(/__proto__: the field is not known and has no effect/);
    const { components } = (await (await sidecar.fetch("/v1.0/metadata")).json()) as { components: { name: string }[] };
    assert.deepEqual(components.map((each) => each.name).sort(), ["bad", "good"]);
    assert.equal((await sidecar.post("/v1.0/state/bad", [{ key: "a", value: 1 }])).status, 204);
  });
});

describe("a malformed Configuration", () => {
  const configs: Readonly<Record<string, string>> = {
    "broken YAML": "a: [b\n c: }",
    "fields of the wrong kind": "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec: {api: {denied: nothing}}\n",
  };
  for (const [name, text] of Object.entries(configs)) {
    test(`with ${name} ends the start, and names the file`, async () => {
      using folder = new Folder("config");
      const file = folder.write("config.yaml", text);
      const ports = await reservePorts(4);
      const [http, grpc, internal, metrics] = ports;
      const flags = [
        `--dapr-http-port=${http}`,
        `--dapr-grpc-port=${grpc}`,
        `--dapr-internal-grpc-port=${internal}`,
        `--metrics-port=${metrics}`,
      ];
      const args = ["--app-id=shop", `--config=${file}`, "--dapr-listen-addresses=127.0.0.1", ...flags];
      await using program = await Program.start({ name: "daprd", command: daprdPath, args });
      assert.equal((await program.exited()).code, 1);
      assert.match(program.output, /level=fatal[^\n]*config\.yaml/);
    });
  }
});
