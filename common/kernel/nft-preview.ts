import { NFT_TABLE } from "../constants.ts";
import { KernelError } from "./errors.ts";
import { runProgram } from "./processes.ts";

/**
 * What Nft.read() would give if this ruleset were loaded: loaded by the same nft into the same kernel, but in an empty
 * network namespace that ends with the call. It is how wanted and actual are compared in the kernel's own form, which
 * differs from the text (masks, ranges, order) and from version to version. Throws KernelError `nft-rejected`.
 */
export async function previewNft(script: string): Promise<unknown> {
  const command = `nft -f - && nft -j -s list table inet ${NFT_TABLE}`;
  const { exitCode, stdout, stderr } = await runProgram(["unshare", "--net", "sh", "-c", command], {
    input: script,
  });
  if (exitCode !== 0) throw new KernelError("nft-rejected", `try a ruleset: ${stderr.trim()}`);
  return JSON.parse(stdout);
}
