// The CRD that says which apps may do what with another app's workflows and activities.
import type { CrdSource } from "./definition.ts";
import { list, object, scopes, text } from "./schema.ts";

const operations = ["schedule", "terminate", "raise", "pause", "resume", "purge", "get", "rerun"];

const rule = object(
  "Callers, and what they may do.",
  {
    "callers*": list("Who.", object("A caller.", { "appID*": text("Its app id.", { minLength: 1 }) }), { minItems: 1 }),
    workflows: list(
      "With which workflows, and what.",
      object("Workflows by name.", {
        "name*": text("Name, or a pattern with *.", { minLength: 1 }),
        "operations*": list(
          "What may be done with them.",
          { type: "string", enum: operations },
          { minItems: 1, "x-kubernetes-list-type": "set" },
        ),
      }),
    ),
    activities: list(
      "With which activities.",
      object("Activities by name.", { "name*": text("Name, or a pattern with *.", { minLength: 1 }) }),
    ),
  },
  {
    "x-kubernetes-validations": [
      {
        message: "at least one of workflows or activities must contain a rule",
        rule: "(has(self.workflows) && size(self.workflows) > 0) || (has(self.activities) && size(self.activities) > 0)",
      },
    ],
  },
);

export const workflowAccessPolicyCrd: CrdSource = {
  file: "workflowaccesspolicy",
  kind: "WorkflowAccessPolicy",
  plural: "workflowaccesspolicies",
  versions: [
    {
      name: "v1alpha1",
      storage: true,
      description: "Who may start and steer the workflows of the apps in its scopes; who is not named may not.",
      columns: [],
      properties: { scopes, spec: object("The rules.", { rules: list("One that matches is enough.", rule) }) },
    },
  ],
};
