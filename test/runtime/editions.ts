/** The container runtimes that the tests are run with: where deploy/dev/runtimes.sh has put them, and how each is configured. */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { PAUSE_IMAGE } from "./pause-image.ts";

const CACHE = path.join(process.env.XDG_CACHE_HOME || path.join(homedir(), ".cache"), "causeway");
const DEBIAN = path.join(CACHE, "containerd-debian/usr");

export type Edition = {
  readonly name: string;
  /** The newest CNI version that it speaks. It asks for STATUS from 1.1.0 on. */
  readonly cniVersion: "1.0.0" | "1.1.0";
  /** Of containerd, its shim, ctr and runc, in the order in which they are looked for. */
  readonly path: readonly string[];
  /** The part of its configuration that differs. */
  configure(folders: { readonly bin: string; readonly net: string }): string;
};

/** No CAP_SYS_RESOURCE is asked of the machine, and nothing is left outside the runtime's own folders. */
const COMMON = `restrict_oom_score_adj = true
netns_mounts_under_state_dir = true`;

const DEBIANS: Edition = {
  name: "containerd 1.6",
  cniVersion: "1.0.0",
  path: [path.join(DEBIAN, "bin"), path.join(DEBIAN, "sbin")],
  configure: ({ bin, net }) => `version = 2
[plugins."io.containerd.grpc.v1.cri"]
${COMMON}
sandbox_image = "${PAUSE_IMAGE}"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "${bin}"
conf_dir = "${net}"`,
};

const BUILT: Edition = {
  name: "containerd 2.4",
  cniVersion: "1.1.0",
  path: [path.join(CACHE, "containerd-v2.4.2"), path.join(DEBIAN, "sbin")],
  configure: ({ bin, net }) => `version = 3
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${PAUSE_IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
${COMMON}
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["${bin}"]
conf_dir = "${net}"`,
};

export const EDITIONS: readonly Edition[] = [DEBIANS, BUILT];

/** Throws saying how to get it. */
export function expectInstalled({ name, path: [folder = ""] }: Edition): void {
  if (existsSync(path.join(folder, "containerd"))) return;
  throw new Error(`${name} is not in ${folder}: run deploy/dev/runtimes.sh, which npm test does`);
}
