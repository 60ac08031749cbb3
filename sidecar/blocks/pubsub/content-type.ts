// Media types as pub/sub tells them apart: parameters and case do not matter.

function base(contentType: string): string {
  const end = contentType.indexOf(";");
  return (end < 0 ? contentType : contentType.slice(0, end)).toLowerCase();
}

export function isCloudEvent(contentType: string): boolean {
  return base(contentType) === "application/cloudevents+json";
}

export function isJson(contentType: string): boolean {
  return base(contentType) === "application/json";
}

export function isBinary(contentType: string): boolean {
  return base(contentType) === "application/octet-stream";
}

/** Carried as `data_base64`. */
export function isBase64(contentType: string): boolean {
  return isBinary(contentType) || base(contentType) === "application/cloudevents+protobuf";
}

export function isText(contentType: string): boolean {
  return contentType.toLowerCase().startsWith("text/") || base(contentType) === "application/xml";
}
