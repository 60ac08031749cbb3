// The project's own TypeScript files, as git sees them: tracked or new, generated code left out.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

export function sourceFiles(): string[] {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "*.ts"], { encoding: "utf8" });
  return listed.split("\n").filter((file) => file !== "" && !file.startsWith("lib/proto/gen/") && existsSync(file));
}
