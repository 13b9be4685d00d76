import { spawnSync } from "node:child_process";

/**
 * Runs a program in a network namespace and gives its output. Throws with the program's own words when it fails.
 */
export function runIn(netnsPath: string, argv: readonly string[], input = ""): string {
  return run(["nsenter", `--net=${netnsPath}`, ...argv], input);
}

/** As runIn(), where we are. */
export function run(argv: readonly string[], input = ""): string {
  const [file = "", ...rest] = argv;
  const child = spawnSync(file, rest, { input, encoding: "utf8", maxBuffer: 64 << 20 });
  if (child.error !== undefined) throw child.error;
  if (child.status !== 0) {
    throw new Error(`${argv.join(" ")} exited with ${child.status}: ${child.stderr}\n${numbered(input)}`);
  }
  return child.stdout;
}

/**
 * Lines of `ip`, without the word `ip`, as one process; `family` where no address in a line says it. Stops at the first
 * that fails, and throws naming it.
 */
export function ipBatch(netnsPath: string, lines: readonly string[], family?: 4 | 6): void {
  const option = family === undefined ? [] : [`-${family}`];
  if (lines.length > 0) runIn(netnsPath, ["ip", ...option, "-batch", "-"], lines.join("\n"));
}

/** One atomic transaction. */
export function nftLoad(netnsPath: string, script: string): void {
  runIn(netnsPath, ["nft", "-f", "-"], script);
}

function numbered(text: string): string {
  return text
    .split("\n")
    .map((line, index) => `${index + 1}: ${line}`)
    .join("\n");
}
