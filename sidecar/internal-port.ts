// The default port of the internal gRPC server: the same across restarts of one app in one place, so that cached
// addresses stay right (inventory §4.2). The same port as a Go daprd in that place.
import { createHash } from "node:crypto";

const lowest = 47_300;
const highest = 65_535;

export interface Place {
  readonly appId: string;
  readonly workingDirectory: string;
  readonly userId: number;
  readonly hostName: string;
}

export function stablePort({ appId, workingDirectory, userId, hostName }: Place): number {
  const digest = createHash("sha256").update(`${appId}|${workingDirectory}|${userId}|${hostName}`).digest();
  return (digest.readUInt16LE(0) % (highest - lowest)) + lowest;
}
