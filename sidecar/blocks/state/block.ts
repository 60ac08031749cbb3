// Assembles the state block.
import type { Block } from "../../contract/block.ts";
import { stateMethods } from "./grpc.ts";
import { stateRoutes } from "./http.ts";
import type { StatePorts } from "./ports.ts";
import { StateVerbs } from "./state.ts";

export function createStateBlock(ports: StatePorts): Block {
  const verbs = new StateVerbs(ports);
  return { name: "state", http: stateRoutes(verbs), grpc: stateMethods(verbs) };
}
