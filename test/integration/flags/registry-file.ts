// What sidecars wrote into the SQLite file of nameresolution.sqlite.
import { DatabaseSync } from "node:sqlite";

export interface RegisteredHost {
  readonly app_id: string;
  /** `host:port` of the internal gRPC API. */
  readonly address: string;
}

export function registeredHosts(file: string): RegisteredHost[] {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    // Rows come with a null prototype.
    return database
      .prepare("SELECT app_id, address FROM hosts ORDER BY app_id")
      .all()
      .map((row) => ({ ...row }) as unknown as RegisteredHost);
  } finally {
    database.close();
  }
}
