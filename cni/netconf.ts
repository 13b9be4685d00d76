/**
 * The network configuration that a runtime writes to the plugin's stdin (CNI specification 1.1.0, section 1, "Plugin configuration
 * objects"). Unknown keys are kept: they belong to the runtime or to other plugins of the chain. Messages never carry the text of the
 * configuration, which may hold other plugins' secrets; only the well-known key that is wrong is quoted.
 */
import * as z from "zod";
import { CniError } from "./errors.ts";

/** Same pattern for network names and container ids (libcni, pkg/utils). */
export const IDENTIFIER = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;

const jsonObject = z.record(z.string(), z.unknown());

const schema = z.looseObject({
  name: z.string().regex(IDENTIFIER),
  type: z.string().refine((type) => type !== "" && !type.includes("/")),
  /** Looked at by the verbs that need it (prev-result.ts); a DEL must not be held up by it. */
  prevResult: z.unknown().optional(),
  runtimeConfig: jsonObject.nullish(),
  args: jsonObject.nullish(),
});

/** One plugin's configuration. `cniVersion` is agreed apart, by agreeVersion(). */
export type NetConf = z.infer<typeof schema>;

/**
 * A configuration as its bytes say, or the errors of parseJsonObject(), versionOf() and parseNetConf(). A runtime passes the same bytes with each ADD, so
 * those of the last one are remembered.
 */
export class ConfigReader {
  private last: { readonly bytes: Buffer; readonly read: ReadConfig } | undefined;

  /** `agree` sees the version before anything else is checked, and may throw. */
  read<Version>(bytes: Buffer, agree: (version: string) => Version): { version: Version; config: NetConf } {
    const known = this.last?.bytes.equals(bytes) ? this.last.read : undefined;
    const json = known?.json ?? parseJsonObject(bytes);
    const version = agree(versionOf(json));
    const config = known?.config ?? parseNetConf(json);
    if (known === undefined && bytes.length <= REMEMBERED_BYTES_MAX)
      this.last = { bytes: Buffer.from(bytes), read: { json, config } };
    return { version, config };
  }
}

type ReadConfig = { readonly json: Readonly<Record<string, unknown>>; readonly config: NetConf };

const REMEMBERED_BYTES_MAX = 16 << 10;

/** The specification's meaning of a configuration without a version. */
const UNSAID_VERSION = "0.1.0";

/** Throws CniError 6 for bytes that are no JSON object. */
export function parseJsonObject(bytes: Buffer): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch {
    // V8's message quotes the text, so it is not passed on
    throw new CniError(
      "decodeFailure",
      `the network configuration is not JSON (${bytes.length} bytes on stdin)`,
    );
  }
  // without the schema, which copies it key by key
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new CniError("decodeFailure", `the network configuration is not a JSON object but ${kindOf(value)}`);
}

/** The configuration's version. Throws CniError 6 when it is there and is no string. */
export function versionOf(config: Readonly<Record<string, unknown>>): string {
  const version = config.cniVersion ?? "";
  if (typeof version !== "string") {
    throw new CniError("decodeFailure", `cniVersion is not a string but ${quote(version)}`);
  }
  return version === "" ? UNSAID_VERSION : version;
}

/** Throws CniError 7 naming every well-known key that is missing or wrong, with its value. */
export function parseNetConf(config: Readonly<Record<string, unknown>>): NetConf {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const keys = new Set(parsed.error.issues.map((issue) => String(issue.path[0])));
  const problems = [...keys].map((key) =>
    config[key] === undefined ? `${key} is missing` : `${key} is wrong: ${quote(config[key])}`,
  );
  throw new CniError("invalidConfig", `the network configuration is not valid: ${problems.join("; ")}`);
}

/** A scalar as JSON, cut to a length for messages; of anything larger only its kind. */
export function quote(value: unknown): string {
  if (typeof value === "object" && value !== null) return kindOf(value);
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  return Array.isArray(value) ? "an array" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}
