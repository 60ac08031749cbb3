// Writes the image as an archive, without Docker and without network: node tools/build-image.ts --out FILE [--tag NAME:TAG].
// Beside it goes FILE.spdx.json. With --rootfs FOLDER it writes the image's files into a folder instead (for the Dockerfile).
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { buildImage } from "../images/archive.ts";
import { applicationEntries, baseEntries, imageEnvironment, type Sources, userId } from "../images/contents.ts";
import { bundledPackages, type SbomPackage, sbomOf } from "../images/sbom.ts";
import { sharedLibraries } from "../images/shared-libraries.ts";
import packageJson from "../package.json" with { type: "json" };
import { entryPoints } from "./entry-points.ts";

const root = join(import.meta.dirname, "..");
const { values } = parseArgs({
  options: {
    out: { type: "string", default: join(root, "build", "outrigger-image.tar") },
    tag: { type: "string", default: "docker.io/local/outrigger:1" },
    rootfs: { type: "string" },
  },
});

const nodeFolder = join(root, "node_modules", `node-${process.platform}-${process.arch}`);
const sources: Sources = {
  node: join(nodeFolder, "bin", "node"),
  dist: join(root, "dist"),
  services: Object.entries(entryPoints)
    .filter(([, source]) => source.endsWith("/main.ts"))
    .map(([name]) => name),
  licenses: licenses(),
  extras: { "dlv.mjs": readFileSync(join(root, "images", "dlv.mjs")) },
};

if (values.rootfs === undefined) writeArchive(values.out, values.tag);
else writeRootfs(values.rootfs);

function writeArchive(out: string, reference: string): void {
  const image = buildImage({
    reference,
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    layers: [
      { comment: "Node, its libraries, CA certificates", entries: baseEntries(sources) },
      { comment: "Outrigger", entries: applicationEntries(sources) },
    ],
    user: `${userId}:${userId}`,
    env: imageEnvironment,
    labels: { "org.opencontainers.image.title": "outrigger", "org.opencontainers.image.version": packageJson.version },
  });
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, image.archive);
  const about = { name: "outrigger-image", version: packageJson.version, digest: image.digest };
  const sbom = sbomOf(about, packages(), new Date().toISOString().replace(/\.\d+Z$/, "Z"));
  writeFileSync(`${out}.spdx.json`, `${JSON.stringify(sbom, null, 1)}\n`);
  const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
  process.stdout.write(
    `${out}: ${reference}, ${megabytes(image.unpackedBytes)} MB unpacked, ${megabytes(image.compressedBytes)} MB compressed, ${image.digest}\n`,
  );
}

function writeRootfs(folder: string): void {
  for (const entry of [...baseEntries(sources), ...applicationEntries(sources)]) {
    const path = join(folder, entry.path);
    mkdirSync(entry.kind === "folder" ? path : dirname(path), { recursive: true });
    if (entry.kind === "file") writeFileSync(path, entry.bytes);
    if (entry.kind === "link") symlinkSync(entry.target, path);
    else chmodSync(path, entry.mode);
  }
}

/** What redistribution asks to be passed on; Node's own text holds those of all that it links in. */
function licenses(): Record<string, Uint8Array> {
  const files = { node: join(nodeFolder, "LICENSE"), outrigger: join(root, "LICENSE") };
  const there = Object.entries(files).filter(([, path]) => existsSync(path));
  return Object.fromEntries(there.map(([name, path]) => [name, readFileSync(path)]));
}

function packages(): readonly SbomPackage[] {
  const meta = JSON.parse(readFileSync(join(sources.dist, "meta.json"), "utf8")) as { inputs: Record<string, unknown> };
  const npm = bundledPackages(Object.keys(meta.inputs)).map((folder) => npmPackage(join(root, folder)));
  const node = {
    name: "node",
    version: process.versions.node,
    license: "MIT",
    purl: `pkg:npm/${basename(nodeFolder)}@${process.versions.node}`,
  };
  const linked = Object.entries(process.versions)
    // Some are numbers of interfaces or data, some are not linked in.
    .filter(([name, version]) => !["node", "modules", "napi", "cldr", "unicode", "tz"].includes(name) && !!version)
    .map(([name, version]) => ({ name: `node/${name}`, version: version as string, license: null, purl: null }));
  return [node, ...linked, ...libraryPackages(), ...npm];
}

function npmPackage(folder: string): SbomPackage {
  const { name, version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, unknown>;
  const text = (value: unknown): string => (typeof value === "string" ? value : "");
  const purl = `pkg:npm/${text(name).replace(/^@/, "%40")}@${text(version)}`;
  return { name: text(name), version: text(version), license: text(license) || null, purl };
}

/** By Debian's package where there is one, else by file. */
function libraryPackages(): readonly SbomPackage[] {
  const found = new Map<string, SbomPackage>();
  for (const { file } of sharedLibraries(sources.node)) {
    // Debian's /lib is a link into /usr, and its list of files may have the path from before that.
    const part = debianPackage(file) ??
      debianPackage(file.replace(/^\/usr/, "")) ?? { name: basename(file), version: "unknown", license: null, purl: null };
    found.set(part.name, part);
  }
  return [...found.values()];
}

function debianPackage(file: string): SbomPackage | null {
  try {
    const [owner = ""] = execFileSync("dpkg-query", ["-S", file], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).split(": ");
    // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg's own placeholder
    const version = execFileSync("dpkg-query", ["-W", "-f", "${Version}", owner], { encoding: "utf8" });
    const name = owner.replace(/:.*$/, "");
    return { name, version, license: null, purl: `pkg:deb/debian/${name}@${version.replaceAll("+", "%2B")}` };
  } catch {
    return null;
  }
}
