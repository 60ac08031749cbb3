// Generates lib/proto/gen from the .proto files of lib/proto, offline: the compiler and the plugin are those of
// node_modules. `--check` generates into a temporary folder instead and fails when the checked-in code differs.
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
const source = join(root, "lib", "proto");
const checkedIn = join(source, "gen");

const work = mkdtempSync(join(tmpdir(), "outrigger-proto-"));
try {
  const fresh = generate(work);
  if (process.argv.includes("--check")) check(fresh);
  else replace(fresh);
} finally {
  rmSync(work, { recursive: true, force: true });
}

/** Compiles a copy of the sources, so that nothing of `gen` and no other module of the tree is seen. Returns the output folder. */
function generate(folder: string): string {
  const input = join(folder, "in");
  const output = join(folder, "out");
  for (const path of filesUnder(source, ".proto")) cpSync(join(source, path), join(input, path));
  mkdirSync(output);
  const template = {
    version: "v2",
    plugins: [
      {
        local: [process.execPath, join(root, "node_modules", "@bufbuild", "protoc-gen-es", "bin", "protoc-gen-es")],
        out: output,
        opt: ["target=ts", "import_extension=ts", "erasable_syntax=true"],
      },
    ],
  };
  execFileSync(compiler(), ["generate", input, "--template", JSON.stringify(template)], { stdio: "inherit" });
  return output;
}

/** The compiler's own package runs an install script to place it; the platform package holds it without. */
function compiler(): string {
  const architecture = process.arch === "arm64" ? "aarch64" : process.arch;
  const names = [`buf-${process.platform}-${process.arch}`, `buf-${process.platform}-${architecture}`];
  for (const name of names) {
    const folder = join(root, "node_modules", "@bufbuild", name, "bin");
    const [found] = filesUnder(folder, "buf");
    if (found !== undefined) return join(folder, found);
  }
  throw new Error(`no protobuf compiler for ${process.platform}-${process.arch}: run npm ci with optional dependencies`);
}

function check(fresh: string): void {
  const expected = filesUnder(fresh, ".ts");
  const actual = filesUnder(checkedIn, ".ts");
  const stale = [...new Set([...expected, ...actual])].filter(
    (path) => !expected.includes(path) || !actual.includes(path) || read(fresh, path) !== read(checkedIn, path),
  );
  if (stale.length === 0) return;
  console.error(`lib/proto/gen is not what its sources generate; run node tools/gen-proto.ts\n  ${stale.join("\n  ")}`);
  process.exitCode = 1;
}

function replace(fresh: string): void {
  rmSync(checkedIn, { recursive: true, force: true });
  cpSync(fresh, checkedIn, { recursive: true });
  console.log(`lib/proto/gen: ${filesUnder(checkedIn, ".ts").length} files`);
}

function read(folder: string, path: string): string {
  return readFileSync(join(folder, path), "utf8");
}

/** Relative paths of the files below `folder` whose names end in `ending`, sorted; none when there is no such folder. */
function filesUnder(folder: string, ending: string): string[] {
  try {
    const paths = readdirSync(folder, { recursive: true, encoding: "utf8" });
    return paths.filter((path) => path.endsWith(ending)).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
