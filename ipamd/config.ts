/**
 * What the process needs to start: read once, all problems reported together, then frozen. The only reader of process.env. What an operator
 * tunes while it runs is settings.ts.
 */
import path from "node:path";
import { LOG_LEVELS, type LogLevel } from "../common/log.ts";
import { CLOUD_NAMES, type CloudName } from "../providers/registry.ts";
import { CHAINED_NAMES, type ChainedName } from "./chain.ts";

export type Config = {
  readonly cloud: CloudName;
  /** Part of the ownership of everything we create in the cloud. */
  readonly clusterName: string;
  /** Unix socket of the plugin; `alive` and `del/` are beside it. */
  readonly socketPath: string;
  /** Where the conflist goes; undefined writes none. */
  readonly conflistDir: string | undefined;
  /** Where the runtime's plugins are. */
  readonly pluginDir: string;
  /** The plugins behind ours in the conflist, in order. */
  readonly chain: readonly ChainedName[];
  /** Loopback address and port of /healthz, /livez, /metrics and /pool. */
  readonly inspect: { readonly host: string; readonly port: number };
  /** How long an ADD may take from its plugin's start, in milliseconds. */
  readonly addWaitMs: number;
  readonly logLevel: LogLevel;
  /** A file of settings (JSON or ConfigMap `data`); undefined means the defaults. */
  readonly settingsPath: string | undefined;
  /** Files that stand for what the API server says of this node's pods, and of the node; undefined means that nobody tells. */
  readonly podsPath: string | undefined;
  readonly nodePath: string | undefined;
  /** Undefined members: the cloud's own. */
  readonly cloudApi: {
    readonly region?: string;
    readonly endpoint?: string;
    readonly metadataEndpoint?: string;
  };
  /** For tests: dies by SIGKILL when that write is reached for the nth time. */
  readonly crashAt: { readonly point: string; readonly hit: number } | undefined;
};

/** Where what the host was before us is noted, beside the socket. */
export function hostBeforeFile({ socketPath }: Pick<Config, "socketPath">): string {
  return path.join(path.dirname(socketPath), "host-before.json");
}

/** Below the plugin's own 90 s (ADD_MS of cni/shim.c), both counted from its start, so that the reason reaches the runtime: 5 s are for the undoing. */
const ADD_WAIT_MAX_MS = 85_000;
/** Where the last good settings, and what became of those of now, are written, beside the socket. */
export function settingsFiles({ socketPath }: Pick<Config, "socketPath">): {
  readonly lastGood: string;
  readonly status: string;
} {
  const folder = path.dirname(socketPath);
  return {
    lastGood: path.join(folder, "settings-last-good.json"),
    status: path.join(folder, "settings-status.json"),
  };
}

/** Less would be over before a plugin on a busy node has asked. */
const ADD_WAIT_MIN_MS = 1_000;

type Environment = Readonly<Record<string, string | undefined>>;

/** One environment variable, as the generated page of docs shows it. */
export type ConfigVariable = { readonly name: string; readonly fallback: string; readonly meaning: string };

export const CONFIG_VARIABLES: readonly ConfigVariable[] = [
  { name: "CAUSEWAY_CLOUD", fallback: "aws", meaning: `The cloud: ${CLOUD_NAMES.join(", ")}.` },
  {
    name: "CAUSEWAY_CLUSTER",
    fallback: "default",
    meaning: "The cluster's name, in the ownership tags of everything created.",
  },
  {
    name: "CAUSEWAY_SOCKET",
    fallback: "/run/causeway/ipamd.sock",
    meaning: "The plugin's socket, at most 107 bytes; the plugin reads it too.",
  },
  {
    name: "CAUSEWAY_CONFLIST_DIR",
    fallback: "/etc/cni/net.d",
    meaning: "Where `10-causeway.conflist` is written once pods can be served; `none` writes none.",
  },
  {
    name: "CAUSEWAY_PLUGIN_DIR",
    fallback: "/opt/cni/bin",
    meaning:
      "The runtime's folder of plugins, as the daemon sees it; those of the chain are looked for there.",
  },
  {
    name: "CAUSEWAY_CHAIN",
    fallback: "portmap,bandwidth",
    meaning: `The plugins behind ours in the conflist, in order, of ${CHAINED_NAMES.join(", ")}; \`none\` for none. Host ports need \`portmap\`, limits \`bandwidth\`. One that is missing is left out, and a problem.`,
  },
  {
    name: "CAUSEWAY_INSPECT",
    fallback: "127.0.0.1:9197",
    meaning: "Loopback address of `/healthz`, `/livez`, `/metrics` and `/pool`; port 0 takes a free one.",
  },
  {
    name: "CAUSEWAY_ADD_WAIT_MS",
    fallback: "80000",
    meaning:
      "How long an ADD may take from the plugin's start, in milliseconds: 1000 to 85000, as the plugin itself gives up after 90 s.",
  },
  { name: "CAUSEWAY_LOG_LEVEL", fallback: "info", meaning: `One of ${LOG_LEVELS.join(", ")}.` },
  {
    name: "CAUSEWAY_SETTINGS",
    fallback: "",
    meaning:
      "A JSON file of [settings](settings.md), read again when it changes; without it the defaults hold.",
  },
  {
    name: "CAUSEWAY_PODS",
    fallback: "",
    meaning:
      'A JSON file of the pods that are bound to this node, `[{"uid": …, "namespace": …, "name": …}]`, with `"hostNetwork": true` or `"finished": true` for those that need no address; read again when it changes. Without it only the runtime\'s calls tell of pods.',
  },
  {
    name: "CAUSEWAY_NODE",
    fallback: "",
    meaning:
      'A JSON file of this node\'s labels and of how many pods kubelet accepts, `{"labels": {"pool": "gpu"}, "maxPods": 110}`; read again when it changes. Labels choose overrides of settings.',
  },
  { name: "AWS_REGION", fallback: "", meaning: "The region; by default what the metadata service says." },
  {
    name: "AWS_ENDPOINT_URL_EC2",
    fallback: "",
    meaning: "Another EC2 endpoint, for private ones and for tests.",
  },
  {
    name: "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    fallback: "",
    meaning: "Another metadata endpoint, for tests.",
  },
  {
    name: "CAUSEWAY_TEST_CRASH_AT",
    fallback: "",
    meaning: "For tests: `point` or `point:n`, the write before which the process kills itself.",
  },
];

/** Every problem of the environment at once. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`cannot start: ${problems.join("; ")}`);
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** Throws ConfigError naming every bad variable, its value and what is accepted. */
export function readConfig(environment: Environment = process.env): Config {
  const problems: string[] = [];
  const text = (name: string) =>
    environment[name] || CONFIG_VARIABLES.find((known) => known.name === name)?.fallback || "";
  const oneOf = <T extends string>(name: string, accepted: readonly T[]): T => {
    const value = text(name);
    if (!accepted.includes(value as T))
      problems.push(`${name}=${value} is not one of ${accepted.join(", ")}`);
    return value as T;
  };
  const optional = (name: string) => text(name) || undefined;
  const config: Config = {
    cloud: oneOf("CAUSEWAY_CLOUD", CLOUD_NAMES),
    clusterName: matching(
      text("CAUSEWAY_CLUSTER"),
      /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/,
      "CAUSEWAY_CLUSTER",
      problems,
    ),
    socketPath: socketPath(text("CAUSEWAY_SOCKET"), problems),
    conflistDir: text("CAUSEWAY_CONFLIST_DIR") === "none" ? undefined : text("CAUSEWAY_CONFLIST_DIR"),
    pluginDir: absolutePath(text("CAUSEWAY_PLUGIN_DIR"), "CAUSEWAY_PLUGIN_DIR", problems),
    chain: chainOf(text("CAUSEWAY_CHAIN"), problems),
    inspect: listenAddress(text("CAUSEWAY_INSPECT"), problems),
    addWaitMs: milliseconds(text("CAUSEWAY_ADD_WAIT_MS"), problems),
    logLevel: oneOf("CAUSEWAY_LOG_LEVEL", LOG_LEVELS),
    settingsPath: optional("CAUSEWAY_SETTINGS"),
    podsPath: optional("CAUSEWAY_PODS"),
    nodePath: optional("CAUSEWAY_NODE"),
    cloudApi: withoutUndefined({
      region: optional("AWS_REGION"),
      endpoint: optional("AWS_ENDPOINT_URL_EC2"),
      metadataEndpoint: optional("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
    }),
    crashAt: crashPoint(text("CAUSEWAY_TEST_CRASH_AT"), problems),
  };
  if (problems.length > 0) throw new ConfigError(problems);
  return Object.freeze(config);
}

function matching(value: string, pattern: RegExp, name: string, problems: string[]): string {
  if (!pattern.test(value)) problems.push(`${name}=${value} does not match ${pattern.source}`);
  return value;
}

function absolutePath(value: string, name: string, problems: string[]): string {
  if (!path.isAbsolute(value)) problems.push(`${name}=${value} is not an absolute path`);
  return value;
}

function chainOf(value: string, problems: string[]): ChainedName[] {
  if (value === "none") return [];
  const names = value.split(",").map((name) => name.trim());
  const known = CHAINED_NAMES.filter((name) => names.includes(name));
  if (known.length !== names.length)
    problems.push(
      `CAUSEWAY_CHAIN=${value} is not none, nor each at most once of ${CHAINED_NAMES.join(", ")}`,
    );
  return known.sort((a, b) => names.indexOf(a) - names.indexOf(b));
}

/** sun_path holds 108 bytes with its NUL (linux/un.h). */
function socketPath(value: string, problems: string[]): string {
  absolutePath(value, "CAUSEWAY_SOCKET", problems);
  if (Buffer.byteLength(value) > 107) {
    problems.push(
      `CAUSEWAY_SOCKET=${value} has ${Buffer.byteLength(value)} bytes; a socket's path has at most 107`,
    );
  }
  return value;
}

function listenAddress(value: string, problems: string[]): { host: string; port: number } {
  const match = /^(127\.\d+\.\d+\.\d+|\[::1\]):(\d{1,5})$/.exec(value);
  const port = Number(match?.[2]);
  if (match === null || port > 65535) {
    problems.push(`CAUSEWAY_INSPECT=${value} is not a loopback address with a port, like 127.0.0.1:9197`);
    return { host: "127.0.0.1", port: 0 };
  }
  return { host: (match[1] ?? "").replace(/[[\]]/g, ""), port };
}

function milliseconds(value: string, problems: string[]): number {
  const ms = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (!(ms >= ADD_WAIT_MIN_MS && ms <= ADD_WAIT_MAX_MS))
    problems.push(
      `CAUSEWAY_ADD_WAIT_MS=${value} is not a number of milliseconds from ${ADD_WAIT_MIN_MS} to ${ADD_WAIT_MAX_MS}`,
    );
  return ms;
}

function crashPoint(value: string, problems: string[]): Config["crashAt"] {
  if (value === "") return undefined;
  const match = /^([a-z0-9.-]+)(?::([1-9]\d*))?$/.exec(value);
  if (match === null) problems.push(`CAUSEWAY_TEST_CRASH_AT=${value} is not point or point:n`);
  return { point: match?.[1] ?? "", hit: Number(match?.[2] ?? 1) };
}

function withoutUndefined<T extends Record<string, unknown>>(
  object: T,
): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as never;
}
