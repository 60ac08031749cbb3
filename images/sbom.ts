// The software bill of materials: what is in the image and of which version, as SPDX 2.3 JSON
// (https://spdx.github.io/spdx-spec/v2.3/). Packages are those that esbuild has put into a bundle, not those installed.

export interface SbomPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression; null: not told. */
  readonly license: string | null;
  /** https://github.com/package-url/purl-spec; null: it has none. */
  readonly purl: string | null;
}

/** Paths of esbuild's inputs to folders of packages, e.g. `node_modules/express`. */
export function bundledPackages(inputs: readonly string[]): readonly string[] {
  const folders = inputs.flatMap((path) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0] ?? []);
  return [...new Set(folders)].sort();
}

/** `created` in ISO 8601: the one thing that differs between two of the same image. */
export function sbomOf(
  image: { readonly name: string; readonly version: string; readonly digest: string },
  packages: readonly SbomPackage[],
  created: string,
): unknown {
  const root = "SPDXRef-image";
  const parts = packages.map((part, i) => ({ ...spdxPackage(part), SPDXID: `SPDXRef-package-${i}` }));
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: image.name,
    documentNamespace: `https://outrigger.dev/sbom/${image.digest.replace(":", "-")}`,
    creationInfo: { created, creators: ["Tool: outrigger-build-image"] },
    packages: [
      {
        ...spdxPackage({ name: image.name, version: image.version, license: "Apache-2.0", purl: null }),
        SPDXID: root,
        checksums: [{ algorithm: "SHA256", checksumValue: image.digest.replace("sha256:", "") }],
      },
      ...parts,
    ],
    relationships: [
      { spdxElementId: "SPDXRef-DOCUMENT", relationshipType: "DESCRIBES", relatedSpdxElement: root },
      ...parts.map(({ SPDXID }) => ({ spdxElementId: root, relationshipType: "CONTAINS", relatedSpdxElement: SPDXID })),
    ],
  };
}

function spdxPackage({ name, version, license, purl }: SbomPackage): Readonly<Record<string, unknown>> {
  return {
    name,
    versionInfo: version,
    downloadLocation: "NOASSERTION",
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: license ?? "NOASSERTION",
    copyrightText: "NOASSERTION",
    ...(purl === null ? {} : { externalRefs: [{ referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl }] }),
  };
}
