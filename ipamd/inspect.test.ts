import { afterEach, describe, expect, it } from "vitest";
import { type Inspect, startInspect } from "./inspect.ts";
import type { Problem, Severity } from "./problems.ts";

let inspect: Inspect | undefined;

afterEach(() => inspect?.close());

async function get(path: string, problems: readonly Problem[]) {
  const sources = { problems: () => problems, metrics: () => "", pool: () => ({ problems }) };
  inspect = await startInspect({ host: "127.0.0.1", port: 0 }, sources);
  const response = await fetch(`http://127.0.0.1:${inspect.port}${path}`);
  return { status: response.status, lines: (await response.text()).trimEnd().split("\n") };
}

const problem = (severity: Severity): Problem => ({
  code: "some-code",
  severity,
  sentence: `is ${severity}`,
});

describe("/healthz", () => {
  it("is 200 and ok without a problem", async () => {
    expect(await get("/healthz", [])).toEqual({ status: 200, lines: ["ok"] });
  });

  it("is 200 with what is worth knowing below, while pods can be served", async () => {
    const { status, lines } = await get("/healthz", [problem("warning"), problem("handled")]);
    expect(status).toBe(200);
    expect(lines).toEqual(["ok", "warning: some-code: is warning", "handled: some-code: is handled"]);
  });

  it("is 503 with all that is wrong, while they cannot", async () => {
    const { status, lines } = await get("/healthz", [problem("refused"), problem("handled")]);
    expect(status).toBe(503);
    expect(lines).toEqual(["not ok", "refused: some-code: is refused", "handled: some-code: is handled"]);
  });
});

describe("/livez", () => {
  it("is 200 whatever is wrong: a restart would not cure it", async () => {
    expect(await get("/livez", [problem("refused")])).toEqual({ status: 200, lines: ["ok"] });
  });
});
