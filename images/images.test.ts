import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { gunzipSync } from "node:zlib";
import { buildImage } from "./archive.ts";
import { imageEnvironment, userId } from "./contents.ts";
import { bundledPackages, sbomOf } from "./sbom.ts";
import { parseLdd } from "./shared-libraries.ts";
import { type TarEntry, tarOf } from "./tar.ts";

const file = (path: string, content: string, mode = 0o644): TarEntry => ({ kind: "file", path, mode, bytes: Buffer.from(content) });
const list = (archive: Buffer, ...options: string[]) => execFileSync("tar", ["-t", ...options], { input: archive, encoding: "utf8" });
const extracted = (archive: Buffer, path: string) => execFileSync("tar", ["-xO", path], { input: archive });

describe("tar", () => {
  const long = `${"folder/".repeat(20)}${"f".repeat(90)}`;
  const archive = tarOf([
    { kind: "folder", path: "a", mode: 0o1777 },
    file("a/b", "hello", 0o755),
    file("empty", ""),
    file(long, "x".repeat(513)),
    { kind: "link", path: "l", target: "a/b" },
  ]);

  test("the system's tar reads it", () => {
    const lines = list(archive, "-v", "--numeric-owner").trim().split("\n");
    assert.match(lines[0] ?? "", /^drwxrwxrwt 0\/0 +0 1970-01-01 00:00 a\/$/);
    assert.match(lines[1] ?? "", /^-rwxr-xr-x 0\/0 +5 .* a\/b$/);
    assert.match(lines[4] ?? "", /^lrwxrwxrwx .* l -> a\/b$/);
    assert.equal(extracted(archive, "a/b").toString(), "hello");
    assert.equal(extracted(archive, long).length, 513);
  });

  test("is a whole number of blocks and refuses what does not fit", () => {
    assert.equal(archive.length % 512, 0);
    assert.throws(() => tarOf([file("f".repeat(101), "")]), RangeError);
  });
});

describe("archive", () => {
  const options = {
    reference: "docker.io/local/test:1",
    architecture: "amd64",
    layers: [{ comment: "one", entries: [file("x", "y")] }],
    user: "65532:65532",
    env: ["A=1"],
    labels: {},
  } as const;
  const image = buildImage(options);

  test("is an OCI layout and a docker archive of the same blobs", () => {
    const [index, docker] = ["index.json", "manifest.json"].map((name) => JSON.parse(extracted(image.archive, name).toString()));
    const manifest = JSON.parse(extracted(image.archive, `blobs/${index.manifests[0].digest.replace(":", "/")}`).toString());
    assert.equal(index.manifests[0].annotations["io.containerd.image.name"], "docker.io/local/test:1");
    assert.deepEqual(docker[0].Layers, [`blobs/${manifest.layers[0].digest.replace(":", "/")}`]);
    assert.equal(docker[0].Config, `blobs/${manifest.config.digest.replace(":", "/")}`);
    const config = JSON.parse(extracted(image.archive, docker[0].Config).toString());
    assert.deepEqual([config.config.User, config.config.Env, config.config.Entrypoint], ["65532:65532", ["A=1"], undefined]);
    const layer = gunzipSync(extracted(image.archive, docker[0].Layers[0]));
    assert.equal(extracted(layer, "x").toString(), "y");
  });

  test("is the same bytes for the same content", () => assert.deepEqual(buildImage(options), image));
});

test("the Dockerfile makes the same image: variables and user", () => {
  const dockerfile = readFileSync(new URL("Dockerfile", import.meta.url), "utf8");
  const variables = [...dockerfile.matchAll(/^(?:ENV| {3}) ([A-Z_]+)="([^"]*)"/gm)].map(([, name, content]) => `${name}=${content}`);
  assert.deepEqual(variables, imageEnvironment);
  assert.ok(dockerfile.includes(`USER ${userId}:${userId}\n`));
});

test("ldd's lines: libraries, the loader, the kernel's part, what is missing", () => {
  const text = `\tlinux-vdso.so.1 (0x00007ffc)\n\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f01)\n\tlibz.so => not found\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f02)\n`;
  assert.deepEqual(parseLdd(text), { paths: ["/lib/x/libm.so.6", "/lib64/ld-linux-x86-64.so.2"], missing: ["libz.so"] });
});

describe("bill of materials", () => {
  test("packages are those of the bundles' inputs, nested ones by their own folder", () => {
    const inputs = [
      "lib/a.ts",
      "node_modules/a/x.js",
      "node_modules/a/y.js",
      "node_modules/@s/b/z.js",
      "node_modules/a/node_modules/c/i.js",
    ];
    assert.deepEqual(bundledPackages(inputs), ["node_modules/@s/b", "node_modules/a", "node_modules/a/node_modules/c"]);
  });

  test("describes the image by its digest", () => {
    const part = { name: "a", version: "1", license: "MIT", purl: "pkg:npm/a@1" };
    // biome-ignore lint/suspicious/noExplicitAny: the test looks into JSON
    const sbom = sbomOf({ name: "img", version: "2", digest: "sha256:ab" }, [part], "2026-01-01T00:00:00Z") as any;
    assert.deepEqual([sbom.spdxVersion, sbom.packages.length, sbom.relationships.length], ["SPDX-2.3", 2, 2]);
    assert.deepEqual(sbom.packages[0].checksums, [{ algorithm: "SHA256", checksumValue: "ab" }]);
  });
});
