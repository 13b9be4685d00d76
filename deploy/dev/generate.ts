/**
 * Rewrites the generated blocks of the documentation. With `--check` nothing is written: it names each stale block and exits with 1.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { GENERATED_BLOCKS, replaceBlock } from "./generated-blocks.ts";

const isCheck = process.argv.includes("--check");

for (const { file, marker, render } of GENERATED_BLOCKS) {
  const text = readFileSync(file, "utf8");
  const wanted = replaceBlock(text, marker, render());
  if (wanted === text) continue;
  if (isCheck) {
    console.error(`${file}: the block "${marker}" is stale; run npm run generate`);
    process.exitCode = 1;
  } else {
    writeFileSync(file, wanted);
    console.log(`${file}: wrote the block "${marker}"`);
  }
}
