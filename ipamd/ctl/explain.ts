import { readConfig } from "../config.ts";
import { type Answer, EXIT } from "./answer.ts";
import { readPoolView } from "./daemon-view.ts";
import { explainPool } from "./explain-text.ts";

/** What the daemon says of its pool, in words; `json` is its own view. Throws when it does not answer. */
export async function explain(): Promise<Answer> {
  const view = await readPoolView(readConfig().inspect);
  return { code: EXIT.done, lines: explainPool(view), json: view };
}
