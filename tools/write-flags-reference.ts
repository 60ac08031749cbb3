// Prints the page of daprd's flags: `node tools/write-flags-reference.ts > docs/reference/flags.md`.
import { flagsReference } from "../sidecar/flags-reference.ts";

process.stdout.write(flagsReference());
