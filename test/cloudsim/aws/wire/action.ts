import type { Account } from "../model/account.ts";
import type { AccessRequest } from "./access.ts";
import type { Pager } from "./paging.ts";
import type { Params } from "./params.ts";
import type { XmlObject } from "./xml.ts";

/** A request that was understood: what it needs permission for, and what it does. */
export type PreparedCall = {
  readonly access: readonly AccessRequest[];
  /** Acts on the account and gives the reply's body. Throws Ec2Error. */
  readonly run: () => XmlObject;
};

export type CallContext = {
  readonly account: Account;
  readonly pager: Pager;
  /** A describe leaves out half of what it should show. */
  readonly omitsHalf: boolean;
};

/** Reads all parameters of one call. Throws Ec2Error for malformed ones; changes nothing yet. */
export type Action = (params: Params, context: CallContext) => PreparedCall;
