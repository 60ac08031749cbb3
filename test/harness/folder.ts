// A temporary folder of one test, removed on dispose.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

export class Folder implements Disposable {
  readonly path: string;

  constructor(label = "test") {
    this.path = mkdtempSync(join(tmpdir(), `outrigger-${label}-`));
  }

  /** Absolute path of a file in it. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes a file, its folders too; answers its absolute path. */
  write(name: string, text: string): string {
    const path = this.file(name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true, maxRetries: 5 });
  }
}
