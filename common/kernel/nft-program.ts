import { NFT_TABLE } from "../constants.ts";
import { KernelError } from "./errors.ts";
import { NETLINK_NETFILTER } from "./netlink-message.ts";
import type { OwnPorts } from "./own-ports.ts";
import { type ProgramResult, runProgram } from "./processes.ts";

/** The `nft` program: for whole tables, never on the path of an ADD or DEL. */
export class NftProgram {
  private readonly prefix: readonly string[];
  private readonly own: OwnPorts;

  /** @param netnsPath the namespace it works in, when that is not this process's own */
  constructor(own: OwnPorts, netnsPath?: string) {
    this.own = own;
    this.prefix = netnsPath === undefined ? [] : ["nsenter", `--net=${netnsPath}`];
  }

  /** Throws KernelError `nft-rejected`. */
  async load(script: string): Promise<void> {
    const { exitCode, stderr } = await this.run(["nft", "-f", "-"], script);
    if (exitCode !== 0) throw rejected("load a ruleset", stderr);
  }

  /** Throws KernelError `nft-rejected`. */
  async read(): Promise<unknown | undefined> {
    const { exitCode, stdout, stderr } = await this.run([
      "nft",
      "-j",
      "-s",
      "list",
      "table",
      "inet",
      NFT_TABLE,
    ]);
    if (exitCode === 0) return JSON.parse(stdout, dropState);
    if (isAbsent(stderr)) return undefined;
    throw rejected(`read table ${NFT_TABLE}`, stderr);
  }

  private async run(command: readonly string[], input = ""): Promise<ProgramResult> {
    const [file = "nft", ...args] = [...this.prefix, ...command];
    // its socket's port is its process id, unless that is taken; events then name it as somebody else, which costs one look
    let port: number | undefined;
    const onStart = (processId: number) => {
      port = processId;
      this.own.add(NETLINK_NETFILTER, processId);
    };
    try {
      return await runProgram([file, ...args], { input, onStart });
    } finally {
      if (port !== undefined) this.own.remove(NETLINK_NETFILTER, port);
    }
  }
}

/** nft tells only in words that there is no such table: `Error: No such file or directory` over the command and carets. */
export function isAbsent(stderr: string): boolean {
  const [first = ""] = stderr.trimStart().split("\n");
  return first === "Error: No such file or directory";
}

/** nft prints handles and the counts of named counters in JSON even when asked for the stateless form. */
function dropState(key: string, value: unknown): unknown {
  if (key === "handle") return undefined;
  if (key !== "counter" || typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => name !== "packets" && name !== "bytes"));
}

function rejected(doing: string, stderr: string): KernelError {
  return new KernelError("nft-rejected", `${doing}: ${stderr.trim()}`);
}
