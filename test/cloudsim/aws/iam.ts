/**
 * IAM as far as a policy for a CNI needs it: one identity policy, decided per resource. A document that uses something not known
 * here is refused at start, so that no statement is silently ignored. Logic: IAM User Guide, "Policy evaluation logic".
 */
import { readFileSync } from "node:fs";
import { Ec2Error } from "./model/ec2-error.ts";
import type { AccessRequest, AccessResource } from "./wire/access.ts";

type OneOrMany = string | readonly string[];

export type PolicyStatement = {
  readonly Sid?: string;
  readonly Effect: "Allow" | "Deny";
  readonly Action: OneOrMany;
  readonly Resource: OneOrMany;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, OneOrMany>>>>;
};

export type PolicyDocument = { readonly Version: string; readonly Statement: readonly PolicyStatement[] };

export const ALLOW_ALL: PolicyDocument = {
  Version: "2012-10-17",
  Statement: [{ Effect: "Allow", Action: "*", Resource: "*" }],
};

const KNOWN_KEYS = ["Sid", "Effect", "Action", "Resource", "Condition"];

/** The document in a file. Throws when it is no policy, or uses what is not known here. */
export function readPolicy(path: string): PolicyDocument {
  const document = JSON.parse(readFileSync(path, "utf8")) as PolicyDocument;
  checkPolicy(document);
  return document;
}

/** Throws naming what this evaluator does not know. */
export function checkPolicy(document: PolicyDocument): void {
  for (const statement of document.Statement) {
    const unknown = Object.keys(statement).find((key) => !KNOWN_KEYS.includes(key));
    if (unknown !== undefined) throw new Error(`IAM policy: unknown element ${unknown}`);
    if (JSON.stringify(statement).includes("${")) throw new Error("IAM policy: variables are not known here");
    for (const [operator, conditions] of Object.entries(statement.Condition ?? {})) {
      if (OPERATORS[operator] === undefined) throw new Error(`IAM policy: unknown operator ${operator}`);
      for (const key of Object.keys(conditions)) {
        if (!CONDITION_KEYS.test(key)) throw new Error(`IAM policy: unknown condition key ${key}`);
      }
    }
  }
}

/** What is true of the caller, whatever it asks for. */
export type CallerContext = ReadonlyMap<string, readonly string[]>;

/** Throws UnauthorizedOperation, naming the action, unless every resource of every request is allowed and none denied. */
export function authorize(
  document: PolicyDocument,
  requests: readonly AccessRequest[],
  caller: CallerContext = new Map(),
): void {
  for (const { action, resources } of requests) {
    for (const resource of resources) {
      const matching = document.Statement.filter((statement) => matches(statement, action, resource, caller));
      const denied = matching.some(({ Effect }) => Effect === "Deny");
      if (denied || matching.length === 0) throw unauthorized(action, resource, denied);
    }
  }
}

function unauthorized(action: string, resource: AccessResource, denied: boolean): Ec2Error {
  const why = denied
    ? "with an explicit deny in an identity-based policy"
    : `because no identity-based policy allows the ${action} action`;
  return new Ec2Error(
    "UnauthorizedOperation",
    `You are not authorized to perform this operation. User is not authorized to perform: ${action} on resource: ${resource.arn} ${why}.`,
    403,
  );
}

function matches(
  statement: PolicyStatement,
  action: string,
  resource: AccessResource,
  caller: CallerContext,
): boolean {
  return (
    many(statement.Action).some((pattern) => like(pattern.toLowerCase(), action.toLowerCase())) &&
    many(statement.Resource).some((pattern) => like(pattern, resource.arn)) &&
    Object.entries(statement.Condition ?? {}).every(([operator, conditions]) =>
      Object.entries(conditions).every(([key, wanted]) =>
        OPERATORS[operator]?.(resource.context.get(key) ?? caller.get(key), many(wanted)),
      ),
    )
  );
}

type Operator = (actual: readonly string[] | undefined, wanted: readonly string[]) => boolean;

const equals: Operator = (actual, wanted) => actual?.some((value) => wanted.includes(value)) ?? false;
const likes: Operator = (actual, wanted) =>
  actual?.some((value) => wanted.some((pattern) => like(pattern, value))) ?? false;

const OPERATORS: Readonly<Record<string, Operator>> = {
  StringEquals: equals,
  StringLike: likes,
  ArnEquals: likes,
  ArnLike: likes,
  StringNotEquals: (actual, wanted) => !equals(actual, wanted),
  StringNotLike: (actual, wanted) => !likes(actual, wanted),
  StringEqualsIfExists: (actual, wanted) => actual === undefined || equals(actual, wanted),
  StringLikeIfExists: (actual, wanted) => actual === undefined || likes(actual, wanted),
  Null: (actual, wanted) => wanted.includes(String(actual === undefined)),
  "ForAllValues:StringEquals": (actual = [], wanted) => actual.every((value) => wanted.includes(value)),
  "ForAllValues:StringLike": (actual = [], wanted) => actual.every((value) => likes([value], wanted)),
  "ForAnyValue:StringEquals": equals,
  "ForAnyValue:StringLike": likes,
};

const CONDITION_KEYS =
  /^(ec2:ResourceTag\/.+|aws:ResourceTag\/.+|aws:RequestTag\/.+|aws:TagKeys|ec2:CreateAction|ec2:Region|aws:RequestedRegion|ec2:Vpc|ec2:SourceInstanceARN)$/;

function many(value: OneOrMany): readonly string[] {
  return typeof value === "string" ? [value] : value;
}

/** `*` and `?` in a pattern; in a resource's own `*` (one about to be created) they match as well. */
function like(pattern: string, text: string): boolean {
  const source = pattern.replace(/[.*+?^${}()|[\]\\]/g, (char) =>
    char === "*" ? ".*" : char === "?" ? "." : `\\${char}`,
  );
  return new RegExp(`^${source}$`, "s").test(text);
}
