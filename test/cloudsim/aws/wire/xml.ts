/** A reply as data: arrays become lists of `<item>`, undefined is left out. Names are the wire's own. */
export type XmlValue = string | number | boolean | undefined | XmlObject | readonly XmlValue[];
export type XmlObject = { readonly [name: string]: XmlValue };

const NAMESPACE = "http://ec2.amazonaws.com/doc/2016-11-15/";

export function encodeReply(action: string, requestId: string, body: XmlObject): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${action}Response xmlns="${NAMESPACE}">${encode({ requestId, ...body })}</${action}Response>`;
}

export function encodeError(requestId: string, code: string, message: string): string {
  const error = encode({ Code: code, Message: message });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>${error}</Error></Errors><RequestID>${requestId}</RequestID></Response>`;
}

function encode(value: XmlValue): string {
  if (value === undefined) return "";
  if (Array.isArray(value)) return value.map((item) => `<item>${encode(item)}</item>`).join("");
  if (typeof value === "object") {
    return Object.entries(value)
      .filter(([, inner]) => inner !== undefined)
      .map(([name, inner]) => `<${name}>${encode(inner)}</${name}>`)
      .join("");
  }
  return String(value).replace(/[&<>]/g, (char) => (char === "&" ? "&amp;" : char === "<" ? "&lt;" : "&gt;"));
}
