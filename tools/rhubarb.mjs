// Mouth cues of recordings by Rhubarb Lip Sync (npm rhubarb-lip-sync-wasm, MIT), for benchmarks/rhubarb.py.
//   node tools/rhubarb.mjs NODE_FOLDER < paths of raw 16-bit 16 kHz mono files, one a line; prints a line of JSON for each
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const folder = path.resolve(process.argv[2], "node_modules/rhubarb-lip-sync-wasm/dist/index.js");
const { Rhubarb } = await import(pathToFileURL(folder));
console.log = () => {}; // it tells of every cue
for (const file of fs.readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  let cues = null; // of some short sounds it makes nothing
  try {
    cues = (await Rhubarb.getLipSync(fs.readFileSync(file))).mouthCues.map(({ start, end, value }) => [start, end, value]);
  } catch {}
  process.stdout.write(JSON.stringify({ file, cues }) + "\n");
}
