// The current identity of this process and the news when it changes: what TLS needs to know of where certificates come
// from. Certificate-source.ts gets it from sentry; a CA sets its own.
import { Changes, type Unsubscribe } from "./changes.ts";
import type { SpiffeId } from "./spiffe.ts";
import { svidIdOf } from "./svid.ts";
import type { KeyPair } from "./x509/keys.ts";
import { type Certificate, certificatesPem } from "./x509/read-certificate.ts";
import { X509Error } from "./x509/x509-error.ts";

export interface Svid {
  readonly id: SpiffeId;
  readonly key: KeyPair;
  /** Leaf first, without the root. */
  readonly chain: readonly Certificate[];
  readonly leaf: Certificate;
  readonly certificatePem: string;
}

export interface SvidSource {
  /** Null until there is one. */
  readonly current: Svid | null;
  onChange(listener: () => void): Unsubscribe;
}

/** Throws X509Error when the chain's leaf is no SVID, or the key another's. */
export function svidOf(chain: readonly Certificate[], key: KeyPair): Svid {
  const [leaf] = chain;
  if (leaf === undefined) throw new X509Error("no_certificate", "no certificate in the chain");
  if (!leaf.x509.checkPrivateKey(key.privateKey)) throw new X509Error("key_mismatch", "the certificate was issued for another key");
  return Object.freeze({ id: svidIdOf(leaf), key, chain, leaf, certificatePem: certificatesPem(chain) });
}

export class HeldSvid implements SvidSource {
  readonly #changes = new Changes();
  #current: Svid | null;

  constructor(initial: Svid | null = null) {
    this.#current = initial;
  }

  get current(): Svid | null {
    return this.#current;
  }

  onChange(listener: () => void): Unsubscribe {
    return this.#changes.add(listener);
  }

  set(svid: Svid): void {
    this.#current = svid;
    this.#changes.notify();
  }
}
