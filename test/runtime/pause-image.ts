/** The image of pod sandboxes: one static program, in an OCI image layout (image-spec 1.1) as one archive. No registry is asked. */
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../cloudsim/vpc/commands.ts";

export const PAUSE_IMAGE = "causeway.test/pause:1";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Writes the archive. Throws the compiler's words when it fails. */
export function writePauseImage(file: string): void {
  const folder = mkdtempSync(`${file}-`);
  const layer = path.join(folder, "layer");
  const layout = path.join(folder, "layout");
  mkdirSync(path.join(layout, "blobs/sha256"), { recursive: true });
  mkdirSync(layer);
  const source = fileURLToPath(new URL("pause.c", import.meta.url));
  run(["gcc", "-std=c17", "-Os", "-static", "-Wall", "-Werror", "-o", path.join(layer, "pause"), source]);
  run(["tar", "-C", layer, "-cf", path.join(folder, "layer.tar"), "pause"]);
  writeLayout(layout, readFileSync(path.join(folder, "layer.tar")));
  run(["tar", "-C", layout, "-cf", path.join(folder, "image.tar"), "oci-layout", "index.json", "blobs"]);
  cpSync(path.join(folder, "image.tar"), file);
  rmSync(folder, { recursive: true });
}

function writeLayout(layout: string, layer: Buffer): void {
  const blob = (mediaType: string, content: Buffer | object) => {
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(JSON.stringify(content));
    const hex = createHash("sha256").update(bytes).digest("hex");
    writeFileSync(path.join(layout, "blobs/sha256", hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.length };
  };
  const oci = (kind: string) => `application/vnd.oci.image.${kind}`;
  const layers = [blob(oci("layer.v1.tar"), layer)];
  const config = blob(oci("config.v1+json"), {
    architecture: ARCHITECTURES[process.arch] ?? process.arch,
    os: "linux",
    config: { Entrypoint: ["/pause"] },
    rootfs: { type: "layers", diff_ids: layers.map(({ digest }) => digest) },
  });
  const manifest = blob(oci("manifest.v1+json"), {
    schemaVersion: 2,
    mediaType: oci("manifest.v1+json"),
    config,
    layers,
  });
  const named = { ...manifest, annotations: { "io.containerd.image.name": PAUSE_IMAGE } };
  writeFileSync(path.join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [named] }));
  writeFileSync(path.join(layout, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }));
}
