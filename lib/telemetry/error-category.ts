// The category label of dapr_error_code_total, by error code (inventory §2.3): almost all follow from the code's own words.

const byPrefix: readonly (readonly [RegExp, string])[] = [
  [/^ERR_ACTOR_/, "actor"],
  [/WORKFLOW|^ERR_INSTANCE_ID_/, "workflow"],
  [/^ERR_STATE_|^ERR_NOT_SUPPORTED_STATE_OPERATION$/, "state"],
  [/^ERR_CONFIGURATION_/, "configuration"],
  [/^ERR_CRYPTO/, "crypto"],
  [/^ERR_SECRET_|^ERR_PERMISSION_DENIED$/, "secret"],
  [/^ERR_PUBSUB_|^ERR_TOPIC_NAME_EMPTY$|^ERR_PUBLISH_OUTBOX$/, "pubsub"],
  [/^ERR_CONVERSATION_/, "conversation"],
  [/^ERR_DIRECT_INVOKE$/, "service-invocation"],
  [/^ERR_INVOKE_OUTPUT_BINDING$/, "binding"],
  [/^ERR_LOCK_|^ERR_TRY_LOCK$|^ERR_UNLOCK$/, "lock"],
  [/^DAPR_SCHEDULER_/, "job"],
  [/HEALTH/, "health"],
];

export function errorCategory(code: string): string {
  return byPrefix.find(([form]) => form.test(code))?.[1] ?? "common";
}
