// An image as one file that needs no Docker to be made: an OCI layout (https://github.com/opencontainers/image-spec) that also
// holds the manifest of `docker save`, so that containerd, Docker, Podman and registries' tools all take it. The same layers
// give the same bytes.
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { type TarEntry, tarOf } from "./tar.ts";

export interface ImageOptions {
  /** In full, e.g. `docker.io/local/outrigger:1`. */
  readonly reference: string;
  readonly architecture: "amd64" | "arm64";
  /** From the one that changes least. */
  readonly layers: readonly { readonly comment: string; readonly entries: readonly TarEntry[] }[];
  readonly user: string;
  readonly env: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export interface Image {
  readonly archive: Buffer;
  /** Of the manifest: what a registry calls it. */
  readonly digest: string;
  readonly unpackedBytes: number;
  readonly compressedBytes: number;
}

interface Blob {
  readonly mediaType: string;
  readonly digest: string;
  readonly bytes: Uint8Array;
}

const types = {
  index: "application/vnd.oci.image.index.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar+gzip",
} as const;
const epoch = "1970-01-01T00:00:00Z";

export function buildImage(options: ImageOptions): Image {
  const layers = options.layers.map(({ comment, entries }) => {
    const tar = tarOf(entries);
    return { comment, unpackedBytes: tar.length, diffId: digestOf(tar), blob: blobOf(types.layer, gzipSync(tar, { level: 6 })) };
  });
  const config = jsonBlob(types.config, configOf(options, layers));
  const blobs = layers.map(({ blob }) => blob);
  const manifest = jsonBlob(types.manifest, {
    schemaVersion: 2,
    mediaType: types.manifest,
    config: descriptor(config),
    layers: blobs.map(descriptor),
  });
  return {
    archive: archiveOf(options, manifest, config, blobs),
    digest: manifest.digest,
    unpackedBytes: layers.reduce((total, layer) => total + layer.unpackedBytes, 0),
    compressedBytes: blobs.reduce((total, blob) => total + blob.bytes.length, 0),
  };
}

function configOf(options: ImageOptions, layers: readonly { readonly comment: string; readonly diffId: string }[]): unknown {
  return {
    created: epoch,
    architecture: options.architecture,
    os: "linux",
    config: { User: options.user, Env: options.env, WorkingDir: "/", Labels: options.labels },
    rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ comment }) => ({ created: epoch, created_by: comment })),
  };
}

function archiveOf({ reference }: ImageOptions, manifest: Blob, config: Blob, layers: readonly Blob[]): Buffer {
  const tag = reference.slice(reference.lastIndexOf(":") + 1);
  const annotations = { "io.containerd.image.name": reference, "org.opencontainers.image.ref.name": tag };
  const index = { schemaVersion: 2, mediaType: types.index, manifests: [{ ...descriptor(manifest), annotations }] };
  const docker = [{ Config: pathOf(config), RepoTags: [reference], Layers: layers.map(pathOf) }];
  return tarOf([
    json("oci-layout", { imageLayoutVersion: "1.0.0" }),
    json("index.json", index),
    json("manifest.json", docker),
    { kind: "folder", path: "blobs", mode: 0o755 },
    { kind: "folder", path: "blobs/sha256", mode: 0o755 },
    ...[manifest, config, ...layers].map((blob): TarEntry => ({ kind: "file", path: pathOf(blob), mode: 0o644, bytes: blob.bytes })),
  ]);
}

function json(path: string, value: unknown): TarEntry {
  return { kind: "file", path, mode: 0o644, bytes: Buffer.from(JSON.stringify(value)) };
}

function jsonBlob(mediaType: string, value: unknown): Blob {
  return blobOf(mediaType, Buffer.from(JSON.stringify(value)));
}

function blobOf(mediaType: string, bytes: Uint8Array): Blob {
  return { mediaType, digest: digestOf(bytes), bytes };
}

function descriptor({ mediaType, digest, bytes }: Blob): { readonly mediaType: string; readonly digest: string; readonly size: number } {
  return { mediaType, digest, size: bytes.length };
}

function pathOf({ digest }: Blob): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
