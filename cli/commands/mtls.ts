// `outrigger mtls`: a look at the certificate authority of local runs (`~/.outrigger/certs`) or of a sentry's folder, a copy of it for
// others, and new certificates for it.
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { messageOf } from "../../lib/kit/errors.ts";
import type { Command, Surroundings } from "../console.ts";
import { type FlagSpec, type Flags, flagsHelp, parseFlags, UsageError } from "../flags.ts";
import { certificatesOf, authorityFiles as files, problemsOf, rotationOf } from "../mtls/authority-folder.ts";
import { type Renewal, renew } from "../mtls/renew.ts";
import { homeAt } from "../run/home.ts";

const flags: readonly FlagSpec[] = [
  { name: "out", short: "o", kind: "string", help: "export: folder to write to (default: the current one)" },
  { name: "valid-until", kind: "number", help: "renew-certificate: days that the new certificates live (default 365)" },
  {
    name: "private-key",
    kind: "string",
    help: "renew-certificate: key file (root.key) to make the new root over (default: a new key, not kept)",
  },
  { name: "ca-root-certificate", kind: "string", help: "renew-certificate: use this root, with the two below" },
  { name: "issuer-public-certificate", kind: "string", help: "renew-certificate: use this issuer certificate" },
  { name: "issuer-private-key", kind: "string", help: "renew-certificate: use this issuer key" },
  { name: "issuer-credentials", kind: "string", help: "Folder of another sentry's certificate authority instead of that of local runs" },
  { name: "runtime-path", kind: "string", help: "Folder that holds .outrigger instead of the home folder" },
  { name: "help", short: "h", kind: "boolean", help: "Show this help" },
];

export const mtlsCommand: Command = {
  name: "mtls",
  summary: "Show, check, export or renew the certificate authority of local runs",
  help: `Show, check, export or renew the certificate authority of local runs, which the first \`outrigger run --enable-mtls\` makes.

Usage:
  outrigger mtls expiry              when root and issuer certificates expire
  outrigger mtls check               whether they fit together and are in force, exit code 1 when not; how far a rotation is
  outrigger mtls export              copies ca.crt, issuer.crt and issuer.key, the key of all identities
  outrigger mtls renew-certificate   puts new ones in their place

Flags:
${flagsHelp(flags)}
`,
  run,
};

const dayMs = 24 * 3600 * 1000;
const verbs = "expiry, check, export or renew-certificate";
const validDaysDefault = 365;
/** As long as the roots of local runs. */
const validDaysMax = 3650;

async function run(args: readonly string[], around: Surroundings): Promise<number> {
  const given = parseFlags(flags, args, true);
  if (given.boolean("help") === true) {
    around.out(mtlsCommand.help);
    return 0;
  }
  const [verb, ...more] = given.rest;
  if (verb === undefined || more.length > 0) throw new UsageError(`say what to do: outrigger mtls ${verbs}`);
  const named = given.string("issuer-credentials");
  const folder = named === undefined ? homeAt(around.env, given.string("runtime-path")).certificates : resolve(around.cwd, named);
  const missing = files.filter((file) => !existsSync(join(folder, file)));
  if (missing.length > 0) throw new UsageError(`no ${missing.join(", ")} in ${folder}: outrigger run --enable-mtls makes them`);
  switch (verb) {
    case "expiry":
      return expiry(folder, around);
    case "check":
      return check(folder, around);
    case "export":
      return exportTo(folder, resolve(around.cwd, given.string("out") ?? "."), around);
    case "renew-certificate":
      return renewCertificate(folder, given, around);
    default:
      throw new UsageError(`unknown command "mtls ${verb}": use ${verbs}`);
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
  const problems = read(folder);
  for (const problem of problems) out(`❌ ${problem}\n`);
  const rotation = problems.length === 0 ? rotationOf(folder) : null;
  if (rotation !== null) out(`ℹ️  Rotation of the root: ${rotation}.\n`);
  if (problems.length === 0) out(`✅ The certificate authority in ${folder} is in force.\n`);
  return problems.length === 0 ? 0 : 1;
}

function read(folder: string): string[] {
  try {
    return problemsOf(folder, Date.now());
  } catch (error) {
    return [`the files cannot be read: ${messageOf(error)}`];
  }
}

function exportTo(folder: string, target: string, { out }: Surroundings): number {
  mkdirSync(target, { recursive: true });
  for (const file of files) copyFileSync(join(folder, file), join(target, file));
  out(`✅ Wrote ${files.join(", ")} to ${target}; whoever has issuer.key can be anyone in this mesh.\n`);
  return 0;
}

async function renewCertificate(folder: string, flags: Flags, { out, cwd }: Surroundings): Promise<number> {
  const { bundle, oldRootVouches } = await renew(folder, cwd, renewalOf(flags), Date.now()).catch((error: unknown): never => {
    throw new UsageError(`nothing was changed: ${messageOf(error)}`);
  });
  out(`✅ Renewed the certificate authority in ${folder}; it expires on ${new Date(bundle.endsAt).toISOString()}.\n`);
  if (!oldRootVouches)
    out("⚠️  Programs that run trust the old root alone: restart them, or those with an old and a new root will not talk.\n");
  return 0;
}

/** Given files and things to make exclude each other: guessing which is meant would put the wrong root in force. */
function renewalOf(flags: Flags): Renewal {
  const [root, issuer, issuerKey] = [
    flags.string("ca-root-certificate"),
    flags.string("issuer-public-certificate"),
    flags.string("issuer-private-key"),
  ];
  const days = flags.number("valid-until");
  const rootKeyFile = flags.string("private-key") ?? null;
  if (root === undefined && issuer === undefined && issuerKey === undefined) {
    const validDays = days ?? validDaysDefault;
    if (validDays < 1 || validDays > validDaysMax) throw new UsageError(`--valid-until takes 1 to ${validDaysMax} days`);
    return { kind: "made", validDays, rootKeyFile };
  }
  if (root === undefined || issuer === undefined || issuerKey === undefined) {
    throw new UsageError("give --ca-root-certificate, --issuer-public-certificate and --issuer-private-key together, or none of them");
  }
  if (days !== undefined || rootKeyFile !== null) {
    throw new UsageError("--valid-until and --private-key are for certificates that are made; leave them out where certificates are given");
  }
  return { kind: "given", root, issuer, issuerKey };
}
