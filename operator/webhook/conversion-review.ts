// A ConversionReview of apiextensions.k8s.io/v1: what the API server asks, and what it is answered. Pure. One object that
// cannot be converted fails the review, as Kubernetes has it, with a message that names the object.
import { messageOf } from "../../lib/kit/errors.ts";
import { arrayOf, at, type Json, objectOf, textOf } from "../../lib/kube/object.ts";
import { convertSubscription } from "./convert-subscription.ts";

/** Null: this is no ConversionReview. */
export function answerReview(review: unknown): Json | null {
  const request = at(review, "request");
  if (textOf(at(review, "kind")) !== "ConversionReview" || typeof request !== "object" || request === null) return null;
  const { uid, desiredAPIVersion, objects } = objectOf(request);
  const apiVersion = textOf(at(review, "apiVersion")) || "apiextensions.k8s.io/v1";
  const answer = (response: Json): Json => ({ apiVersion, kind: "ConversionReview", response: { uid: textOf(uid), ...response } });
  const converted: Json[] = [];
  for (const object of arrayOf(objects)) {
    try {
      converted.push(convertSubscription(object, textOf(desiredAPIVersion)));
    } catch (error) {
      const name = `${textOf(at(object, "metadata", "namespace"))}/${textOf(at(object, "metadata", "name"))}`;
      return answer({ result: { status: "Failure", message: `${name}: ${messageOf(error)}` } });
    }
  }
  return answer({ convertedObjects: converted, result: { status: "Success" } });
}
