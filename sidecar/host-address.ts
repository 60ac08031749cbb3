// The address other sidecars reach us at (inventory §4.2): DAPR_HOST_IP, else the source address the kernel would use
// towards a documentation address (nothing is sent), else the best address of the interfaces.
import { createSocket } from "node:dgram";
import { isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";

/** Addresses of RFC 5737 and RFC 3849: routable in form, used by nobody. */
const documentationAddresses = ["192.0.2.1", "2001:db8::1"];

/** 192.0.0.0/29 is the client side of 464XLAT: no other host can reach it. */
const isClat = (address: string) => /^192\.0\.0\.[0-7]$/.test(address);

export async function findHostAddress(given: string | null): Promise<string> {
  if (given !== null) return given;
  for (const towards of documentationAddresses) {
    const source = await sourceAddress(towards);
    if (source !== null && !isClat(source)) return source;
  }
  const best = bestInterfaceAddress(Object.values(networkInterfaces()).flatMap((list) => list ?? []));
  if (best === null) throw new Error("could not determine host IP address: set DAPR_HOST_IP to an address other sidecars can reach");
  return best;
}

function sourceAddress(towards: string): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(towards) ? "udp6" : "udp4");
    const finish = (address: string | null) => {
      socket.close();
      resolve(address);
    };
    socket.once("error", () => finish(null));
    socket.connect(80, towards, () => finish(socket.address().address));
  });
}

interface InterfaceAddress {
  readonly address: string;
  readonly internal: boolean;
}

/** Public IPv4, global IPv6, private IPv4, unique local IPv6, link-local: the first that is there. */
export function bestInterfaceAddress(addresses: readonly InterfaceAddress[]): string | null {
  let best: string | null = null;
  let bestRank = Number.POSITIVE_INFINITY;
  for (const { address, internal } of addresses) {
    if (internal || isClat(address)) continue;
    const rank = rankOf(address);
    if (rank < bestRank) [best, bestRank] = [address, rank];
  }
  return best;
}

function rankOf(address: string): number {
  if (isIPv6(address)) {
    if (/^fe[89ab]/i.test(address)) return 4;
    return /^f[cd]/i.test(address) ? 3 : 1;
  }
  if (address.startsWith("169.254.")) return 4;
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(address) ? 2 : 0;
}
