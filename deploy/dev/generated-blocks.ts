/**
 * The parts of the documentation that are made from the code, so that they cannot say something else: one entry a block. A block stands between
 * `<!-- generated:MARKER -->` and `<!-- /generated:MARKER -->`.
 */
import { CONFIG_VARIABLES } from "../../ipamd/config.ts";
import { describeSettings } from "../../ipamd/settings-schema.ts";
import { SABOTAGES } from "../../test/demo/sabotage.ts";

export type GeneratedBlock = {
  /** From the top of the repository. */
  readonly file: string;
  readonly marker: string;
  /** Markdown, without the markers. */
  readonly render: () => string;
};

export const GENERATED_BLOCKS: readonly GeneratedBlock[] = [
  { file: "docs/configuration.md", marker: "configuration", render: configurationTable },
  { file: "docs/settings.md", marker: "settings", render: settingsTable },
  { file: "ARCHITECTURE.md", marker: "mechanisms", render: mechanismTable },
];

/** The text with the block's content in place. Throws when it does not have the two markers, once each and in order. */
export function replaceBlock(text: string, marker: string, content: string): string {
  const [opening, closing] = [`<!-- generated:${marker} -->`, `<!-- /generated:${marker} -->`];
  const [before, inside, ...more] = text.split(opening);
  const [, after, ...again] = (inside ?? "").split(closing);
  if (before === undefined || after === undefined || more.length + again.length > 0) {
    throw new Error(`no place for the block: ${opening} … ${closing} must be there once`);
  }
  return `${before}${opening}\n\n${content.trim()}\n\n${closing}${after}`;
}

function configurationTable(): string {
  return table(
    ["variable", "default", "meaning"],
    CONFIG_VARIABLES.map(({ name, fallback, meaning }) => [code(name), code(fallback), meaning]),
  );
}

function settingsTable(): string {
  return table(
    ["setting", "accepted", "default", "takes effect", "meaning"],
    describeSettings().map(({ name, accepted, fallback = "", takesEffect, meaning }) => [
      code(name),
      accepted,
      code(fallback),
      takesEffect,
      meaning,
    ]),
  );
}

function mechanismTable(): string {
  return table(
    ["mechanism", "what breaks without it", "checks that fail", "sabotage"],
    SABOTAGES.map(({ name, mechanism, breaks, checks }) => [
      mechanism,
      breaks,
      checks.map(code).join(", "),
      code(name),
    ]),
  );
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n");
}

function code(text: string): string {
  return text === "" ? "" : `\`${text}\``;
}
