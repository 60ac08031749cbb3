// The object identifiers X.509 and PKCS #10 need here, by the names of their specifications.

export const Oid = {
  // RFC 5280 §4.2: extensions
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKeyIdentifier: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
  // X.520: attributes of names
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  // RFC 2985 §5.4.2: PKCS #9
  extensionRequest: "1.2.840.113549.1.9.14",
  // RFC 8410, RFC 5758, RFC 4055: signatures
  ed25519: "1.3.101.112",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  ecdsaWithSha384: "1.2.840.10045.4.3.3",
  ecdsaWithSha512: "1.2.840.10045.4.3.4",
  sha256WithRsa: "1.2.840.113549.1.1.11",
  sha384WithRsa: "1.2.840.113549.1.1.12",
  sha512WithRsa: "1.2.840.113549.1.1.13",
} as const;
