import * as z from "zod";
import type { Clock } from "../../common/clock.ts";
import type { PodUid } from "../../common/ids.ts";
import type { Logger } from "../../common/log.ts";
import { JsonFile } from "./json-file.ts";
import type { BoundPod, PodSource } from "./pods.ts";

const podSchema = z.object({
  uid: z
    .string()
    .min(1)
    .transform((text) => text as PodUid),
  namespace: z.string().min(1),
  name: z.string().min(1),
  hostNetwork: z.boolean().default(false),
  finished: z.boolean().default(false),
});

/** A JSON list of pods, `[{"uid": …, "namespace": …, "name": …}]`; `hostNetwork` and `finished` are false where they are left out. */
export class FilePods implements PodSource, Disposable {
  private readonly file: JsonFile<BoundPod[]>;

  constructor(deps: { readonly path: string; readonly clock: Clock; readonly log: Logger }) {
    this.file = new JsonFile({ ...deps, schema: z.array(podSchema) });
  }

  list(): readonly BoundPod[] | undefined {
    return this.file.value;
  }

  subscribe(listener: () => void): Disposable {
    return this.file.subscribe(listener);
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
  }
}
