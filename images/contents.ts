// What is in the image, and nothing else: Node and the libraries it links, CA certificates, the names a user needs, the
// bundles, and one starter per service at the place where Dapr's images have theirs. No shell, no package manager.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { rootCertificates } from "node:tls";
import { sharedLibraries } from "./shared-libraries.ts";
import type { TarEntry } from "./tar.ts";

/** Dapr's, and the one that the injector falls back to. */
export const userId = 65_532;
export const bundleFolder = "usr/lib/outrigger";
const nodePath = "usr/bin/node";

/** Of every process in the image. */
export const imageEnvironment: readonly string[] = Object.freeze([
  "PATH=/usr/bin:/",
  "NODE_OPTIONS=--disable-warning=ExperimentalWarning --max-semi-space-size=4",
  // As bin/launch: glibc would keep freed buffers for itself once it has seen large ones.
  "MALLOC_ARENA_MAX=2",
  "MALLOC_MMAP_THRESHOLD_=131072",
  "MALLOC_TRIM_THRESHOLD_=131072",
  "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
]);

export interface Sources {
  /** Node's executable. */
  readonly node: string;
  /** The folder with the bundles. */
  readonly dist: string;
  /** Bundles that are started by name. */
  readonly services: readonly string[];
  /** Texts that must go with what is redistributed, by name. */
  readonly licenses: Readonly<Record<string, Uint8Array>>;
  /** Our own files beside the bundles, by name. */
  readonly extras: Readonly<Record<string, Uint8Array>>;
}

/** The part that changes with Node and the machine's libraries only. */
export function baseEntries({ node, licenses }: Sources): readonly TarEntry[] {
  return withFolders([
    file(nodePath, readFileSync(node), 0o755),
    // For commands of charts and tests that run a script.
    { kind: "link", path: "node", target: nodePath },
    ...sharedLibraries(node).map(({ path, file: from }) => file(path.slice(1), readFileSync(from), 0o755)),
    file("etc/ssl/certs/ca-certificates.crt", text(`${rootCertificates.join("\n")}\n`)),
    file("etc/passwd", text(`root:x:0:0:root:/:/sbin/nologin\nnonroot:x:${userId}:${userId}:nonroot:/tmp:/sbin/nologin\n`)),
    file("etc/group", text(`root:x:0:\nnonroot:x:${userId}:\n`)),
    file("etc/nsswitch.conf", text("hosts: files dns\n")),
    ...Object.entries(licenses).map(([name, bytes]) => file(`licenses/${name}`, bytes)),
    { kind: "folder", path: "tmp", mode: 0o1777 },
  ]);
}

/** The part that changes with us. */
export function applicationEntries({ dist, services, extras }: Sources): readonly TarEntry[] {
  const bundles = readdirSync(dist)
    .filter((name) => name.endsWith(".mjs") || name.endsWith(".wasm"))
    .sort();
  for (const service of services) {
    if (!bundles.includes(`${service}.mjs`)) throw new Error(`${dist} has no ${service}.mjs: run 'make build' first`);
  }
  return withFolders([
    ...bundles.map((name) => file(`${bundleFolder}/${name}`, readFileSync(join(dist, name)))),
    ...Object.entries(extras).map(([name, bytes]) => file(`${bundleFolder}/${name}`, bytes)),
    ...services.map((service) => starter(service, `${service}.mjs`)),
    starter("dlv", "dlv.mjs"),
  ]);
}

/** The kernel takes the interpreter from the first line, so there need be no shell. */
function starter(name: string, module: string): TarEntry {
  return file(name, text(`#!/${nodePath}\nimport "/${bundleFolder}/${module}";\n`), 0o755);
}

function file(path: string, bytes: Uint8Array, mode = 0o644): TarEntry {
  return { kind: "file", path, mode, bytes };
}

function text(content: string): Uint8Array {
  return Buffer.from(content);
}

/** Sorted, each folder before what is in it. */
function withFolders(entries: readonly TarEntry[]): readonly TarEntry[] {
  const all = new Map<string, TarEntry>();
  for (const entry of entries) {
    for (let folder = dirname(entry.path); folder !== "."; folder = dirname(folder)) {
      if (!all.has(folder)) all.set(folder, { kind: "folder", path: folder, mode: 0o755 });
    }
    all.set(entry.path, entry);
  }
  return [...all.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}
