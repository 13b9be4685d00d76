import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import type { CallLog } from "../call-log.ts";
import type { KeyRing, Principal } from "../credentials.ts";
import type { Fault, Faults } from "../faults.ts";
import { authorize } from "../iam.ts";
import type { Account } from "../model/account.ts";
import { Ec2Error, missingParameter } from "../model/ec2-error.ts";
import type { RateLimiter } from "../rate-limits.ts";
import type { Action, CallContext } from "./action.ts";
import { ADDRESS_ACTIONS } from "./address-actions.ts";
import { ATTRIBUTE_ACTIONS } from "./attribute-actions.ts";
import { DESCRIBE_ACTIONS } from "./describe-actions.ts";
import { INTERFACE_ACTIONS } from "./interface-actions.ts";
import { Pager } from "./paging.ts";
import { Params } from "./params.ts";
import { sendError, sendGarbage, sendXml } from "./reply.ts";
import { RESERVATION_ACTIONS } from "./reservation-actions.ts";
import { type SignedRequest, verifySignature } from "./sigv4.ts";
import { TAG_ACTIONS } from "./tag-actions.ts";
import { encodeReply } from "./xml.ts";

const ACTIONS: Readonly<Record<string, Action>> = {
  ...ADDRESS_ACTIONS,
  ...ATTRIBUTE_ACTIONS,
  ...DESCRIBE_ACTIONS,
  ...INTERFACE_ACTIONS,
  ...RESERVATION_ACTIONS,
  ...TAG_ACTIONS,
};
const API_VERSION = "2016-11-15";

export type Ec2ServerParts = {
  readonly account: Account;
  readonly keys: KeyRing;
  readonly faults: Faults;
  readonly log: CallLog;
  readonly limiter: RateLimiter;
};

/** The Query protocol's request handler: faults, signature, rate, parameters, permission, action, reply, in this order. */
export function ec2Handler(parts: Ec2ServerParts) {
  const pager = new Pager(() => parts.account.random.hex(32));
  return async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = Buffer.concat(await request.toArray());
    const values = new Map(new URLSearchParams(body.toString()));
    const action = values.get("Action") ?? "";
    const call = parts.log.begin(action, values, parts.account.timers.now());
    const requestId = parts.account.random.hex(32);
    const faults = parts.faults.take(action);
    const ended = await applyEarly(faults, response, requestId);
    if (ended !== undefined) {
      call.outcome = ended;
      return;
    }
    try {
      const { method = "", url = "", headers } = request;
      const principal = admit(parts, { method, url, headers, body }, values);
      const has = (kind: Fault["kind"]) => faults.some((fault) => fault.kind === kind);
      const context = { account: parts.account, pager, omitsHalf: has("omit-half") };
      const reply = runAction(context, principal, values);
      call.outcome = has("lose-reply") ? "lost" : "ok";
      if (call.outcome === "lost") response.destroy();
      else sendXml(response, requestId, 200, encodeReply(action, requestId, reply));
    } catch (error) {
      const known = error instanceof Ec2Error ? error : new Ec2Error("InternalError", describe(error), 500);
      call.outcome = known.code;
      sendError(response, requestId, known);
    }
  };
}

/** Who signed a request. Throws when nobody known did, or the account has used up its calls. */
function admit(
  { keys, limiter }: Ec2ServerParts,
  request: SignedRequest,
  values: ReadonlyMap<string, string>,
): Principal {
  const keyId = verifySignature(request, (id) => keys.find(id), Date.now());
  const principal = keys.find(keyId);
  if (principal === undefined) throw new Error(`key ${keyId} went away`);
  if (!limiter.admit(values.get("Action") ?? "", values)) {
    throw new Ec2Error("RequestLimitExceeded", "Request limit exceeded.", 503);
  }
  return principal;
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** Faults that come before the action; the outcome, when they end the call. */
async function applyEarly(
  faults: readonly Fault[],
  response: ServerResponse,
  requestId: string,
): Promise<string | undefined> {
  for (const fault of faults) {
    if (fault.kind === "delay") await delay(fault.ms);
  }
  for (const fault of faults) {
    if (fault.kind === "hang") return "hung";
    if (fault.kind === "garbage") {
      sendGarbage(response, fault.status);
      return "garbage";
    }
    if (fault.kind === "fail") {
      sendError(response, requestId, fault);
      return fault.code;
    }
  }
  return undefined;
}

function runAction(context: CallContext, principal: Principal, values: ReadonlyMap<string, string>) {
  const params = new Params(values);
  const name = params.text("Action");
  if (name === undefined) throw missingParameter("Action");
  const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
  if (action === undefined) {
    throw new Ec2Error("InvalidAction", `The action ${name} is not valid for this web service.`);
  }
  if (params.text("Version") !== API_VERSION) {
    throw new Ec2Error("InvalidParameterValue", `The API version must be ${API_VERSION}`);
  }
  const dryRun = params.boolean("DryRun") ?? false;
  const { access, run } = action(params, context);
  params.checkAllRead();
  authorize(principal.policy, access, principal.caller);
  if (dryRun) {
    throw new Ec2Error("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412);
  }
  return run();
}
