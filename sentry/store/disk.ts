// The store in a directory, the files of Dapr's sentry: ca.crt, issuer.crt, issuer.key, jwt.key, jwks.json, and our
// rotation.json. A save of several files is first written down as a whole (`.outrigger-pending.json`) and then done file by
// file, each by renaming; a load finishes what a dead process had written down. All files are for the owner only.
import { createHash } from "node:crypto";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import {
  ConflictError,
  type CredentialKey,
  type CredentialStore,
  type Credentials,
  credentialKeys,
  credentialMaxBytes,
  type Stored,
} from "./store.ts";

export type FilePaths = Readonly<Record<CredentialKey, string>>;

/** The file operations that a crash can fall between; tests make them fail. */
export interface Files {
  /** Null when there is no such file. */
  read(path: string): Promise<string | null>;
  /** Atomic and durable: the file has the old or the new text. */
  replace(path: string, text: string): Promise<void>;
  remove(path: string): Promise<void>;
}

const pendingName = ".outrigger-pending.json";

/** `names` are file names in `directory`, or absolute paths. */
export function credentialPaths(directory: string, names: FilePaths): FilePaths {
  const entries = credentialKeys.map((key) => [key, resolve(directory, names[key])] as const);
  return Object.freeze(Object.fromEntries(entries)) as FilePaths;
}

export function createDiskStore(directory: string, paths: FilePaths, files: Files = ownerOnlyFiles): CredentialStore {
  const pending = join(directory, pendingName);
  const readAll = async (): Promise<Credentials> => {
    const found: Partial<Record<CredentialKey, string>> = {};
    for (const key of credentialKeys) {
      const text = await files.read(paths[key]);
      if (text !== null) found[key] = text;
    }
    return found;
  };
  const writeAll = async (credentials: Credentials): Promise<void> => {
    for (const key of credentialKeys) {
      const text = credentials[key];
      if (text !== undefined) await files.replace(paths[key], text);
    }
    await files.remove(pending);
  };
  return {
    description: `the directory ${directory}`,
    async load(): Promise<Stored> {
      const unfinished = readPending(await files.read(pending));
      if (unfinished !== null) await writeAll(unfinished);
      const credentials = await readAll();
      return { credentials, version: versionOf(credentials) };
    },
    async save(credentials, version) {
      const before = await readAll();
      if (versionOf(before) !== version) throw new ConflictError(`the files in ${directory} were changed by somebody else`);
      await files.replace(pending, JSON.stringify(credentials));
      await writeAll(credentials);
      return versionOf({ ...before, ...credentials });
    },
  };
}

/** What a dead process wanted to write, or null. It was written by renaming, so it is whole or not there. */
function readPending(text: string | null): Credentials | null {
  if (text === null) return null;
  const value = JSON.parse(text) as Record<string, unknown>;
  const known = credentialKeys.filter((key) => typeof value[key] === "string");
  return Object.fromEntries(known.map((key) => [key, value[key] as string]));
}

function versionOf(credentials: Credentials): string {
  const hash = createHash("sha256");
  for (const key of credentialKeys) hash.update(`${key} ${credentials[key]?.length ?? -1} ${credentials[key] ?? ""}\n`);
  return hash.digest("hex");
}

const ownerOnlyFiles: Files = {
  async read(path) {
    try {
      const { size } = await stat(path);
      if (size > credentialMaxBytes) throw new Error(`${path} has ${size} bytes; at most ${credentialMaxBytes} are read`);
      return await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  },
  async replace(path, text) {
    const temporary = join(dirname(path), `.outrigger-${process.pid}-${path.length}.tmp`);
    const file = await open(temporary, "w", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  },
  remove: (path) => rm(path, { force: true }),
};

/** Without this a power cut may undo the renaming. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
