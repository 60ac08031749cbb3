// The CRD of servers of the Model Context Protocol.
import { type CrdSource, column } from "./definition.ts";
import { bool, list, map, nameValue, object, plainText, type Schema, scopes, secretKeyRef, text } from "./schema.ts";

const auth = object("How we prove who we are.", {
  secretStore: text("Secret store that references are read from."),
  oauth2: object("By a token of an OAuth 2 issuer.", {
    "issuer*": text("Its URL.", { minLength: 1 }),
    clientID: text("Our id there."),
    secretKeyRef,
    audience: text("Audience of the token."),
    scopes: list("Scopes of the token.", plainText),
  }),
  spiffe: object("By the sidecar's own identity.", {
    jwt: object("As a JWT in a header.", {
      "header*": text("Name of the header.", { minLength: 1 }),
      headerValuePrefix: text("What stands before the token, e.g. Bearer and a blank."),
      "audience*": text("Audience of the token.", { minLength: 1 }),
    }),
  }),
});

function http(what: string): Schema {
  return object(what, {
    "url*": text("Where it is.", { minLength: 1 }),
    protocolVersion: text("Version of the protocol to ask for."),
    timeout: text("Longest time for a call, e.g. 30s."),
    headers: list("Headers that every request carries.", nameValue("A header")),
    auth,
  });
}

const workflow = object("The workflow that is called.", {
  "workflowName*": text("Its name.", { minLength: 1 }),
  appID: text("App that runs it; the caller's own when not given."),
});

function hooks(when: string, mutating = true): Schema {
  const mutate: Readonly<Record<string, Schema>> = mutating ? { mutate: bool("Its result takes the place of what it was given.") } : {};
  return list(when, object("A step.", { "workflow*": workflow, ...mutate }));
}

const endpoint = object(
  "How the server is reached: exactly one way.",
  {
    streamableHTTP: http("By streamable HTTP."),
    sse: http("By server-sent events."),
    stdio: object("As a program that the sidecar starts.", {
      "command*": text("The program.", { minLength: 1 }),
      args: list("Its arguments.", plainText),
      env: list("Its environment.", nameValue("A variable")),
    }),
  },
  {
    "x-kubernetes-validations": [
      {
        message: "exactly one of streamableHTTP, sse, or stdio must be set",
        rule: "(has(self.streamableHTTP) ? 1 : 0) + (has(self.sse) ? 1 : 0) + (has(self.stdio) ? 1 : 0) == 1",
      },
    ],
  },
);

export const mcpServerCrd: CrdSource = {
  file: "mcpservers",
  kind: "MCPServer",
  plural: "mcpservers",
  versions: [
    {
      name: "v1alpha1",
      storage: true,
      description: "A server of tools for language models, by the Model Context Protocol.",
      columns: [column("Name", ".spec.catalog.displayName"), column("Team", ".spec.catalog.owner.team", "string", 1)],
      properties: {
        scopes,
        spec: object("What the server is.", {
          "endpoint*": endpoint,
          catalog: object("What people are told of it.", {
            displayName: text("Name for people."),
            description: text("What it is for."),
            owner: object("Who answers for it.", { team: text("The team."), contact: text("How to reach them.") }),
            tags: list("Words to find it by.", plainText),
            links: map("Links by name.", plainText),
          }),
          middleware: object("Workflows around calls.", {
            beforeCallTool: hooks("Before a tool is called."),
            afterCallTool: hooks("After a tool was called."),
            beforeListTools: hooks("Before tools are listed.", false),
            afterListTools: hooks("After tools were listed."),
          }),
          ignoreErrors: bool("Start the sidecar although the server cannot be reached."),
        }),
      },
    },
  ],
};
