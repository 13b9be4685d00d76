import type { Family } from "../ip.ts";
import { KernelError } from "./errors.ts";
import { runProgram } from "./processes.ts";

/** The two kernels' ways of iptables: over nf_tables, and its own old tables. A node can have rules in both. */
export type XtablesBackend = "nft" | "legacy";

/** Where one FORWARD chain is. */
export type XtablesChain = { readonly backend: XtablesBackend; readonly family: Family };

/** The xtables FORWARD chains of one namespace, by the iptables programs. Throws KernelError `xtables-failed`. */
export interface Xtables {
  /** Back-ends in use for a family: nft always, legacy only where its filter table exists. Looking makes no table. */
  backends(family: Family): Promise<readonly XtablesBackend[]>;
  /**
   * Rules of the chains that forwarded packets enter by: FORWARD of table filter, PREROUTING and POSTROUTING of nat, as the program prints
   * them. Looking makes no table.
   */
  readEntries(chain: XtablesChain): Promise<readonly string[]>;
  /** Rules of FORWARD in order, without `-A FORWARD`, as the program prints them. */
  readForward(chain: XtablesChain): Promise<readonly string[]>;
  /** One transaction: deletes these rules (as readForward() gave them), then puts those in, before the rule at `position` (0 is the head). */
  changeForward(
    chain: XtablesChain,
    change: {
      readonly remove: readonly string[];
      readonly insert: readonly string[];
      readonly position: number;
    },
  ): Promise<void>;
}

const ENTRIES: readonly (readonly [table: string, chain: string])[] = [
  ["filter", "FORWARD"],
  ["nat", "PREROUTING"],
  ["nat", "POSTROUTING"],
];

/** The xtables of this namespace, or of the one at `netnsPath`. */
export class ProgramXtables implements Xtables {
  readonly #prefix: readonly string[];

  constructor(options: { readonly netnsPath?: string } = {}) {
    this.#prefix = options.netnsPath === undefined ? [] : ["nsenter", `--net=${options.netnsPath}`];
  }

  async backends(family: Family): Promise<readonly XtablesBackend[]> {
    return (await this.#legacyTables(family)).includes("filter") ? ["nft", "legacy"] : ["nft"];
  }

  async readEntries(chain: XtablesChain): Promise<readonly string[]> {
    const tables =
      chain.backend === "nft" ? ENTRIES.map(([table]) => table) : await this.#legacyTables(chain.family);
    const rules: string[] = [];
    for (const [table, name] of ENTRIES.filter(([one]) => tables.includes(one))) {
      rules.push(...(await this.#readChain(chain, table, name)));
    }
    return rules;
  }

  async readForward(chain: XtablesChain): Promise<readonly string[]> {
    return this.#readChain(chain, "filter", "FORWARD");
  }

  async changeForward(
    chain: XtablesChain,
    change: {
      readonly remove: readonly string[];
      readonly insert: readonly string[];
      readonly position: number;
    },
  ): Promise<void> {
    const lines = [
      "*filter",
      ...change.remove.map((rule) => `-D FORWARD ${rule}`),
      ...change.insert.map((rule, index) => `-I FORWARD ${change.position + index + 1} ${rule}`),
      "COMMIT",
      "",
    ];
    await this.#run([program(chain, "-restore"), "-w", "--noflush"], lines.join("\n"));
  }

  async #readChain(chain: XtablesChain, table: string, name: string): Promise<readonly string[]> {
    const listing = await this.#run([program(chain, ""), "-w", "-t", table, "-S", name]);
    const prefix = `-A ${name} `;
    return listing
      .split("\n")
      .filter((line) => line.startsWith(prefix))
      .map((line) => line.slice(prefix.length));
  }

  /** Asking the program would make them. */
  async #legacyTables(family: Family): Promise<readonly string[]> {
    // thread-self: /proc/net is the main thread's
    const names = family === 4 ? "ip_tables_names" : "ip6_tables_names";
    const listed = await this.#run(["sh", "-c", `cat /proc/thread-self/net/${names} 2>/dev/null || true`]);
    return listed.split("\n");
  }

  async #run(command: readonly string[], input = ""): Promise<string> {
    const [file = "", ...args] = [...this.#prefix, ...command];
    const { exitCode, stdout, stderr } = await runProgram([file, ...args], { input });
    if (exitCode === 0) return stdout;
    throw new KernelError("xtables-failed", `${command.join(" ")}: ${stderr.trim()}`);
  }
}

function program(chain: XtablesChain, suffix: "" | "-restore"): string {
  return `${chain.family === 4 ? "iptables" : "ip6tables"}-${chain.backend}${suffix}`;
}
