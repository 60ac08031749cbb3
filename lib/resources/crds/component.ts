// The CRD of components.
import { type CrdSource, column } from "./definition.ts";
import { bool, list, nameValue, object, scopes, secretStoreAuth, text } from "./schema.ts";

export const componentCrd: CrdSource = {
  file: "components",
  kind: "Component",
  plural: "components",
  versions: [
    {
      name: "v1alpha1",
      storage: true,
      description: "A building block's implementation: which driver, and how it reaches what it drives.",
      columns: [column("Type", ".spec.type"), column("Version", ".spec.version"), column("Scopes", ".scopes", "string", 1)],
      properties: {
        auth: secretStoreAuth("the component"),
        scopes,
        spec: object("What the component is.", {
          "type*": text("Building block and driver, e.g. state.redis."),
          "version*": text("Version of the driver, e.g. v1."),
          "metadata*": list("Settings of the driver.", nameValue("A setting")),
          ignoreErrors: bool("Start the sidecar although the component cannot be started."),
          initTimeout: text("Longest time for its start, e.g. 30s; 5s when not given."),
        }),
      },
    },
  ],
};
