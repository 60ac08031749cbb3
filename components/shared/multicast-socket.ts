// A socket on a multicast group, joined on every interface and on loopback: sidecars of one machine find each other even
// where the network has no multicast or there is no network at all.
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";

export interface MulticastSocket {
  /** Sends to the group on every interface; an interface that cannot is left out. */
  send(message: Buffer): Promise<void>;
  close(): Promise<void>;
}

const loopback = "127.0.0.1";

/** Shares `port` with other programs. Rejects when the port cannot be bound or the group be joined on any interface. */
export async function openMulticast(group: string, port: number, onMessage: (message: Buffer) => void): Promise<MulticastSocket> {
  const socket = createSocket({ type: "udp4", reuseAddr: true });
  await bind(socket, port);
  const joined = new Set<string>();
  join(socket, group, joined);
  if (joined.size === 0) {
    socket.close();
    throw new Error(`no interface accepts the multicast group ${group}`);
  }
  // A datagram that cannot be received is the sender's loss.
  socket.on("error", () => {});
  socket.on("message", onMessage);
  let sending: Promise<void> = Promise.resolve();
  return {
    send(message) {
      // One at a time: the interface is a setting of the socket, not of the datagram.
      sending = sending.then(async () => {
        join(socket, group, joined);
        for (const address of joined) if (!(await sendOn(socket, address, message, group, port))) joined.delete(address);
      });
      return sending;
    },
    async close() {
      await sending;
      await new Promise<void>((resolve) => socket.close(resolve));
    },
  };
}

function bind(socket: Socket, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ address: "0.0.0.0", port }, () => {
      socket.off("error", reject);
      resolve();
    });
  });
}

/** Joins on interfaces that are new since the last time: laptops change networks. */
function join(socket: Socket, group: string, joined: Set<string>): void {
  const addresses = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  const external = addresses.filter(({ family, internal }) => family === "IPv4" && !internal).map(({ address }) => address);
  for (const address of [loopback, ...external]) {
    if (joined.has(address)) continue;
    try {
      socket.addMembership(group, address);
      joined.add(address);
    } catch (error) {
      // Joined before under another address of the same interface: then sending on it works as well.
      if ((error as NodeJS.ErrnoException).code === "EADDRINUSE") joined.add(address);
    }
  }
}

function sendOn(socket: Socket, address: string, message: Buffer, group: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      socket.setMulticastInterface(address);
      socket.send(message, port, group, (error) => resolve(error === null));
    } catch {
      resolve(false);
    }
  });
}
