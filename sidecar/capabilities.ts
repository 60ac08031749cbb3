// What a component can do, in the words of the metadata API.
import type { Driver } from "../components/driver.ts";

/** A state store with etags and transactions can hold actor state, which Dapr shows as one more capability. */
export function capabilitiesOf(type: string, driver: Driver): readonly string[] {
  const features = "features" in driver && Array.isArray(driver.features) ? (driver.features as readonly string[]) : [];
  const holdsActors = type.startsWith("state.") && features.includes("ETAG") && features.includes("TRANSACTIONAL");
  return holdsActors ? [...features, "ACTOR"] : features;
}
