/**
 * From a frame to a verb and back: decodes the variables and the configuration, agrees a version, runs the verb, prints its result or
 * error in that version's shape. Whatever happens, the answer is an exit code and one JSON document or nothing.
 */
import type { Attachment } from "../common/ids.ts";
import {
  type Command,
  parseArgs,
  parseAttachment,
  parseCommand,
  parseNetns,
  parsePod,
  podOf,
  requireRoom,
  requireVariables,
} from "./environment.ts";
import { CniError, printError } from "./errors.ts";
import type { AnswerFrame, RequestFrame } from "./frame.ts";
import type { PodRef } from "./ipam.ts";
import { ConfigReader, type NetConf, parseJsonObject, quote, versionOf } from "./netconf.ts";
import { type PrevResult, parsePrevResult } from "./prev-result.ts";
import { type CniResult, printResult, RESULT_VERSIONS, type ResultVersion } from "./result.ts";

type Common = {
  readonly cniVersion: ResultVersion;
  readonly config: NetConf;
  /** CNI_ARGS, also the keys that we do not use. */
  readonly args: ReadonlyMap<string, string>;
  /** When the shim was started, in milliseconds of CLOCK_MONOTONIC; absent when an old shim does not say. */
  readonly startedAtMs?: number;
  /** W3C trace context of the runtime, to pass on. */
  readonly traceparent?: string;
  readonly isAbandoned?: RequestFrame["isAbandoned"];
};

export type AttachRequest = Common & {
  readonly command: "ADD" | "CHECK";
  readonly attachment: Attachment;
  readonly netns: string;
  readonly pod: PodRef;
  /** Of ADD: what plugins before us gave. Of CHECK: the result of the whole chain. */
  readonly prevResult?: PrevResult;
};

/** `netns` is a hint that may name a stranger's namespace by now; DEL must not need it. */
export type DetachRequest = Common & {
  readonly command: "DEL";
  readonly attachment: Attachment;
  readonly netns?: string;
  readonly pod: PodRef;
};

export type NodeRequest = Common & { readonly command: "GC" | "STATUS" };

export type CniRequest = AttachRequest | DetachRequest | NodeRequest;

/**
 * One verb. The signal aborts when the plugin process is gone, or the daemon stops: nobody waits for the result any more. An ADD then undoes
 * what it began, and looks at the signal a last time before it returns; a DEL goes on.
 */
export type Verb<Request extends CniRequest, Answer> = (
  request: Request,
  signal: AbortSignal,
) => Promise<Answer>;

/** The verbs of a daemon. VERSION is built in. */
export type Verbs = {
  readonly ADD: Verb<AttachRequest, CniResult>;
  readonly DEL: Verb<DetachRequest, void>;
  readonly CHECK: Verb<AttachRequest, void>;
  readonly GC: Verb<NodeRequest, void>;
  readonly STATUS: Verb<NodeRequest, void>;
};

/** What happened, for the answer and for the log. `error` is there when the exit code is not 0. */
export type Outcome = {
  readonly answer: AnswerFrame;
  /** As given, also when it is unknown. */
  readonly command: string;
  readonly request?: CniRequest;
  readonly error?: unknown;
};

/** Never rejects. */
export async function runCommand(frame: RequestFrame, verbs: Verbs, signal: AbortSignal): Promise<Outcome> {
  const command = frame.variables.get("CNI_COMMAND") ?? "";
  let request: CniRequest | undefined;
  try {
    const known = parseCommand(frame.variables);
    if (known === "VERSION") return { command, answer: success(printVersions(frame)) };
    request = decodeRequest(frame, known);
    const document = await runVerb(request, verbs, signal);
    return { command, request, answer: success(document) };
  } catch (error) {
    return { command, ...(request && { request }), error, answer: failure(error, errorVersion(frame)) };
  }
}

/** The answer for an error, in the shape of `cniVersion` when it is known. */
export function failure(error: unknown, cniVersion?: string): AnswerFrame {
  return { exitCode: 1, stdout: toLine(printError(error, cniVersion)) };
}

function success(document: object | undefined): AnswerFrame {
  return { exitCode: 0, stdout: document === undefined ? Buffer.alloc(0) : toLine(document) };
}

function toLine(document: object): Buffer {
  return Buffer.from(`${JSON.stringify(document)}\n`);
}

const configs = new ConfigReader();

/** Checks in the order of the specification's own skeleton: variables, then configuration, then version. */
function decodeRequest(frame: RequestFrame, command: Exclude<Command, "VERSION">): CniRequest {
  const { variables } = frame;
  requireVariables(command, variables);
  const traceparent = variables.get("TRACEPARENT");
  const startedAtMs = startOf(variables);
  const named = decodeNames(command, variables);
  const { version: cniVersion, config } = configs.read(frame.stdin, (wanted) =>
    agreeVersion(command, wanted),
  );
  const common = {
    cniVersion,
    config,
    ...(traceparent && { traceparent }),
    ...(startedAtMs !== undefined && { startedAtMs }),
    ...(frame.isAbandoned && { isAbandoned: frame.isAbandoned }),
  };
  if (named.command !== "ADD" && named.command !== "CHECK") return { ...common, ...named };
  const prevResult = parsePrevResult(config.prevResult);
  return { ...common, ...named, ...(prevResult && { prevResult }) };
}

/** What the shim says of its start, in milliseconds of CLOCK_MONOTONIC; undefined when it says none, or one before the boot. */
export function startOf(variables: RequestFrame["variables"]): number | undefined {
  const startedUs = Number(variables.get("CAUSEWAY_STARTED_US"));
  return startedUs > 0 ? startedUs / 1000 : undefined;
}

type Names = {
  [Request in CniRequest as Request["command"]]: Omit<
    Request,
    "cniVersion" | "config" | "startedAtMs" | "traceparent" | "prevResult" | "isAbandoned"
  >;
};

function decodeNames(
  command: Exclude<Command, "VERSION">,
  variables: RequestFrame["variables"],
): Names[keyof Names] {
  if (command === "GC" || command === "STATUS") return { command, args: parseArgs(variables) };
  const attachment = parseAttachment(command, variables);
  if (command === "DEL") {
    const netns = variables.get("CNI_NETNS");
    const args = argsOrNone(variables);
    return { command, attachment, args, pod: podOf(args), ...(netns && { netns }) };
  }
  const args = parseArgs(variables);
  const named = { attachment, args, pod: parsePod(command, args), netns: parseNetns(command, variables) };
  // an attachment that is there has had room
  if (command === "ADD") requireRoom(command, attachment, named.pod);
  return { command, ...named };
}

/** A DEL is not held up by arguments that it does not need. */
function argsOrNone(variables: RequestFrame["variables"]): ReadonlyMap<string, string> {
  try {
    return parseArgs(variables);
  } catch {
    return new Map();
  }
}

/** First version of the specification that knows the verb. */
const SINCE: Readonly<Partial<Record<Command, ResultVersion>>> = {
  CHECK: "0.4.0",
  GC: "1.1.0",
  STATUS: "1.1.0",
};

/** The configuration's version decides and must be one of ours, as text. Throws CniError 1. */
function agreeVersion(command: Command, wanted: string): ResultVersion {
  const allowed = RESULT_VERSIONS.slice(RESULT_VERSIONS.indexOf(SINCE[command] ?? RESULT_VERSIONS[0]));
  const version = allowed.find((candidate) => candidate === wanted);
  if (version !== undefined) return version;
  throw new CniError(
    "incompatibleVersion",
    `incompatible CNI versions: the configuration has ${quote(wanted)}, ${command} is supported in ${allowed.join(", ")}`,
  );
}

async function runVerb(request: CniRequest, verbs: Verbs, signal: AbortSignal): Promise<object | undefined> {
  switch (request.command) {
    case "ADD":
      return printResult(await verbs.ADD(request, signal), request.cniVersion, request.prevResult);
    case "CHECK":
      await verbs.CHECK(request, signal);
      return undefined;
    case "DEL":
      await verbs.DEL(request, signal);
      return undefined;
    case "GC":
    case "STATUS":
      await verbs[request.command](request, signal);
      return undefined;
  }
}

/** The version that was asked in comes back; a configuration is not needed for it. */
function printVersions(frame: RequestFrame): object {
  return { cniVersion: errorVersion(frame) ?? RESULT_VERSIONS.at(-1), supportedVersions: RESULT_VERSIONS };
}

/** What the configuration says, when that can be made out at all. */
function errorVersion(frame: RequestFrame): string | undefined {
  try {
    return versionOf(parseJsonObject(frame.stdin));
  } catch {
    return undefined;
  }
}
