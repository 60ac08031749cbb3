// Assembles the metadata block.
import type { Block } from "../../contract/block.ts";
import { metadataMethods } from "./grpc.ts";
import { metadataRoutes } from "./http.ts";
import { createMetadataVerbs } from "./metadata.ts";
import type { MetadataPorts } from "./ports.ts";

export function createMetadataBlock(ports: MetadataPorts): Block {
  const verbs = createMetadataVerbs(ports);
  return { name: "metadata", http: metadataRoutes(verbs), grpc: metadataMethods(verbs) };
}
