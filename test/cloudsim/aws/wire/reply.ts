import type { ServerResponse } from "node:http";
import { encodeError } from "./xml.ts";

export type ErrorReply = { readonly code: string; readonly message: string; readonly status: number };

const XML = "text/xml;charset=UTF-8";

export function sendXml(response: ServerResponse, requestId: string, status: number, body: string): void {
  response.writeHead(status, { "content-type": XML, "x-amzn-requestid": requestId });
  response.end(body);
}

export function sendError(response: ServerResponse, requestId: string, error: ErrorReply): void {
  sendXml(response, requestId, error.status, encodeError(requestId, error.code, error.message));
}

/** What a proxy or a captive portal says in EC2's place. */
export function sendGarbage(response: ServerResponse, status: number): void {
  response.writeHead(status, { "content-type": "text/html" });
  response.end("<html><head><title>Service Unavailable</title></head><body><p>Sorry<br></body></html>");
}
