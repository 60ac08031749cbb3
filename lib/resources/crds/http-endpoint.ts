// The CRD of HTTP endpoints outside of the mesh.
import { type CrdSource, column } from "./definition.ts";
import { any, list, nameValue, object, type Schema, scopes, secretKeyRef, secretStoreAuth, text } from "./schema.ts";

function tlsPart(what: string): Schema {
  return object(`${what}, in PEM.`, { value: any("The PEM text itself."), secretKeyRef });
}

export const httpEndpointCrd: CrdSource = {
  file: "httpendpoints",
  kind: "HTTPEndpoint",
  plural: "httpendpoints",
  versions: [
    {
      name: "v1alpha1",
      storage: true,
      description: "An HTTP service outside of the mesh that apps invoke by the resource's name.",
      columns: [column("URL", ".spec.baseUrl"), column("Scopes", ".scopes", "string", 1)],
      properties: {
        auth: secretStoreAuth("the endpoint"),
        scopes,
        spec: object("What the endpoint is.", {
          "baseUrl*": text("Where it is, e.g. https://api.example.com/v2."),
          headers: list("Headers that every request to it carries.", nameValue("A header")),
          clientTLS: object("TLS of the connections to it.", {
            rootCA: tlsPart("The authority that its certificate must be of"),
            certificate: tlsPart("Our certificate"),
            privateKey: tlsPart("The key of our certificate"),
            renegotiation: text("Whether the endpoint may renegotiate TLS.", {
              default: "Never",
              enum: ["Never", "OnceAsClient", "FreelyAsClient"],
            }),
          }),
        }),
      },
    },
  ],
};
