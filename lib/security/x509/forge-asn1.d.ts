// node-forge is typed as a whole; only its ASN.1 part is loaded, since the whole costs start-up time in every service.
declare module "node-forge/lib/asn1.js" {
  import type { asn1 } from "node-forge";

  const value: typeof asn1;
  export = value;
}
