import * as z from "zod";
import type { Clock } from "../../common/clock.ts";
import type { Logger } from "../../common/log.ts";
import { JsonFile } from "./json-file.ts";
import type { NodeSource } from "./node.ts";

const nodeSchema = z.object({
  labels: z.record(z.string(), z.string()).default({}),
  maxPods: z.int().min(1).optional(),
});

/** A JSON object, `{"labels": {"pool": "gpu"}, "maxPods": 110}`; both may be left out. */
export class FileNode implements NodeSource, Disposable {
  private readonly file: JsonFile<z.output<typeof nodeSchema>>;

  constructor(deps: { readonly path: string; readonly clock: Clock; readonly log: Logger }) {
    this.file = new JsonFile({ ...deps, schema: nodeSchema });
  }

  labels(): ReadonlyMap<string, string> {
    return new Map(Object.entries(this.file.value?.labels ?? {}));
  }

  maxPods(): number | undefined {
    return this.file.value?.maxPods;
  }

  subscribe(listener: () => void): Disposable {
    return this.file.subscribe(listener);
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }
}
