// `outrigger mtls`: a look at the certificate authority of local runs (`~/.outrigger/certs`), and a copy of it for others.
import { createPrivateKey, createPublicKey } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Certificate, readCertificatesPem } from "../../lib/security/x509/read-certificate.ts";
import type { Command, Surroundings } from "../console.ts";
import { type FlagSpec, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { homeAt } from "../run/home.ts";

const flags: readonly FlagSpec[] = [
  { name: "out", short: "o", kind: "string", help: "export: folder to write to (default: the current one)" },
  { name: "runtime-path", kind: "string", help: "Folder that holds .outrigger instead of the home folder" },
  { name: "help", short: "h", kind: "boolean", help: "Show this help" },
];

export const mtlsCommand: Command = {
  name: "mtls",
  summary: "Show, check or export the certificate authority of local runs",
  help: `Show, check or export the certificate authority of local runs, which the first \`outrigger run --enable-mtls\` makes.

Usage:
  outrigger mtls expiry    when root and issuer certificates expire
  outrigger mtls check     whether they fit together and are in force; exit code 1 when not
  outrigger mtls export    copies ca.crt, issuer.crt and issuer.key, the key of all identities

Flags:
${flagsHelp(flags)}
`,
  run,
};

const files = ["ca.crt", "issuer.crt", "issuer.key"] as const;
const dayMs = 24 * 3600 * 1000;

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(mtlsCommand.help);
    return 0;
  }
  const [verb, ...more] = given.rest;
  if (verb === undefined || more.length > 0) throw new UsageError("say what to do: outrigger mtls expiry, check or export");
  const { certificates: folder } = homeAt(around.env, given.string("runtime-path"));
  const missing = files.filter((file) => !existsSync(join(folder, file)));
  if (missing.length > 0) throw new UsageError(`no ${missing.join(", ")} in ${folder}: outrigger run --enable-mtls makes them`);
  switch (verb) {
    case "expiry":
      return expiry(folder, around);
    case "check":
      return check(folder, around);
    case "export":
      return exportTo(folder, resolve(around.cwd, given.string("out") ?? "."), around);
    default:
      throw new UsageError(`unknown command "mtls ${verb}": use expiry, check or export`);
  }
}

function expiry(folder: string, { out }: Surroundings): number {
  for (const { what, certificate } of certificatesOf(folder)) {
    const days = Math.floor((certificate.notAfter - Date.now()) / dayMs);
    out(`${what} expires in ${days} days, on ${new Date(certificate.notAfter).toISOString()}\n`);
  }
  return 0;
}

function check(folder: string, { out }: Surroundings): number {
  const problems = problemsOf(folder, Date.now());
  for (const problem of problems) out(`❌ ${problem}\n`);
  if (problems.length === 0) out(`✅ The certificate authority in ${folder} is in force.\n`);
  return problems.length === 0 ? 0 : 1;
}

function exportTo(folder: string, target: string, { out }: Surroundings): number {
  mkdirSync(target, { recursive: true });
  for (const file of files) copyFileSync(join(folder, file), join(target, file));
  out(`✅ Wrote ${files.join(", ")} to ${target}; whoever has issuer.key can be anyone in this mesh.\n`);
  return 0;
}

function problemsOf(folder: string, now: number): string[] {
  const problems: string[] = [];
  const all = certificatesOf(folder);
  for (const { what, certificate } of all) {
    if (now > certificate.notAfter) problems.push(`${what} expired on ${new Date(certificate.notAfter).toISOString()}`);
    if (now < certificate.notBefore) problems.push(`${what} is not yet valid; check the clock`);
  }
  const roots = all.filter(({ what }) => what.startsWith("Root"));
  const issuer = all.find(({ what }) => what.startsWith("Issuer"))?.certificate;
  if (issuer === undefined) return [...problems, "issuer.crt holds no certificate"];
  if (!roots.some(({ certificate }) => issuer.x509.verify(certificate.x509.publicKey))) {
    problems.push("the issuer certificate is signed by none of the roots in ca.crt");
  }
  const key = createPublicKey(createPrivateKey(readFileSync(join(folder, "issuer.key"))));
  if (!issuer.x509.publicKey.equals(key)) problems.push("issuer.key is not the key of the issuer certificate");
  return problems;
}

function certificatesOf(folder: string): { readonly what: string; readonly certificate: Certificate }[] {
  const read = (file: string) => readCertificatesPem(readFileSync(join(folder, file)));
  const roots = read("ca.crt").map((certificate) => ({ what: "Root certificate", certificate }));
  return [
    ...roots,
    ...read("issuer.crt")
      .slice(0, 1)
      .map((certificate) => ({ what: "Issuer certificate", certificate })),
  ];
}
