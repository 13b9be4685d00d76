/** A daemon's socket as a process of its own, to be stopped and killed: `node daemon-main.ts FOLDER`. Prints `serving`. */
import { startServer } from "./daemon.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: daemon-main.ts FOLDER");
await startServer(folder);
process.stdout.write("serving\n");
