// Distinguished names (RFC 5280 §4.1.2.4), the little of them that SVIDs use.
import { type Asn1, childrenOf, oid, oidOf, sequence, set, Tag, utf8String } from "./der.ts";
import { X509Error } from "./x509-error.ts";

export type NameAttribute = readonly [type: string, text: string];

const attributesMax = 32;

export function nameOf(attributes: readonly NameAttribute[]): Asn1 {
  return sequence(...attributes.map(([type, text]) => set(sequence(oid(type), utf8String(text)))));
}

export function readName(node: Asn1 | undefined): NameAttribute[] {
  const attributes: NameAttribute[] = [];
  for (const set of childrenOf(node, Tag.sequence, "name")) {
    for (const pair of childrenOf(set, Tag.set, "part of a name")) {
      const [type, value, ...more] = childrenOf(pair, Tag.sequence, "attribute of a name");
      if (value === undefined || value.constructed || more.length > 0 || attributes.length === attributesMax) {
        throw new X509Error("structure", "a name is malformed");
      }
      attributes.push([oidOf(type, "attribute of a name"), Buffer.from(value.value as string, "latin1").toString("utf8")]);
    }
  }
  return attributes;
}
