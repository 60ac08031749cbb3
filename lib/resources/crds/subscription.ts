// The CRD of declarative subscriptions: v1alpha1 with one route, v2alpha1 with rules; the operator converts between them.
import { type CrdSource, column } from "./definition.ts";
import { bool, int32, list, map, object, plainText, type Schema, scopes, text } from "./schema.ts";

const common: Readonly<Record<string, Schema>> = {
  "pubsubname*": text("Name of the pub/sub component."),
  "topic*": text("The topic."),
  metadata: map("Options of the broker for this subscription.", plainText),
  deadLetterTopic: text("Topic for messages that could not be delivered."),
  bulkSubscribe: object("Many messages in one delivery.", {
    "enabled*": bool("Whether they come so."),
    maxMessagesCount: int32("How many at most."),
    maxAwaitDurationMs: int32("How long to wait for more, milliseconds."),
  }),
};

const rule = object("A route for events that match.", {
  "match*": text("A CEL expression over the event, e.g. event.type == 'order'."),
  "path*": text("The app's route."),
});

const columns = [column("Pubsub", ".spec.pubsubname"), column("Topic", ".spec.topic")];
const what = "What is subscribed to, and where it is delivered.";

export const subscriptionCrd: CrdSource = {
  file: "subscription",
  kind: "Subscription",
  plural: "subscriptions",
  converted: true,
  versions: [
    {
      name: "v1alpha1",
      storage: false,
      description: "A subscription of apps to a topic, delivered to one route.",
      columns: [...columns, column("Route", ".spec.route")],
      properties: { scopes, spec: object(what, { ...common, "route*": text("The app's route.") }) },
    },
    {
      name: "v2alpha1",
      storage: true,
      description: "A subscription of apps to a topic, delivered to routes by rules.",
      columns: [...columns, column("Route", ".spec.routes.default"), column("Scopes", ".scopes", "string", 1)],
      properties: {
        scopes,
        spec: object(what, {
          ...common,
          "routes*": object("Where events are delivered: the first rule that matches, else the default.", {
            default: text("The app's route when no rule matches."),
            rules: list("Tried in this order.", rule),
          }),
        }),
      },
    },
  ],
};
