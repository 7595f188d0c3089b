// Weights of mouth shapes that other lip-sync packages give recordings, for benchmarks/peers.py.
//   node tools/peers.mjs NODE_FOLDER PEER < paths of 16-bit mono WAV files, one a line
// Writes FILE.wav.json: {rate, shapes, weights, seconds}; a row of weights for each 1 / rate seconds, seconds of the CPU.
// PEER: rhubarb at 16 kHz; headaudio, wlipsync or wawa at the rate of a browser, drawn 60 times a second.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [place, peer] = process.argv.slice(2);
const BLOCK = 128; // samples that Web Audio processes at once
const FRAMES = 60; // drawn a second
const within = (file) => path.resolve(place, "node_modules", file);
const load = (file, again = "") => import(pathToFileURL(within(file)) + again);

function readWav(file) {
  const data = fs.readFileSync(file);
  if (data.toString("latin1", 36, 40) !== "data" || data.readUInt16LE(22) !== 1 || data.readUInt16LE(34) !== 16) {
    throw Error(`${file} is no 16-bit mono WAV with a plain header`);
  }
  return { rate: data.readUInt32LE(24), bytes: data.subarray(44) };
}

const samplesOf = (bytes) => Float32Array.from({ length: bytes.length >> 1 }, (_, n) => bytes.readInt16LE(2 * n) / 32768);

// What Web Audio offers to a worklet, without threads: a message arrives at once, so that a run is the same each time.
const processors = {};
let inner; // port of the processor that is made next
globalThis.registerProcessor = (name, processor) => (processors[name] = processor);
globalThis.AudioWorkletProcessor = class {
  port = inner;
};
globalThis.AudioWorkletNode = class {
  constructor(context, name, options) {
    const port = (to) => ({ onmessage: null, postMessage: (data) => to().onmessage?.({ data }) });
    const other = port(() => this.port);
    this.port = port(() => other);
    inner = other;
    const described = processors[name].parameterDescriptors.map((each) => [each.name, [each.defaultValue]]);
    this.settings = Object.fromEntries(described);
    this.processor = new processors[name](options);
  }
};

// Feeds a worklet block by block and calls draw at each frame that the sound has reached.
function feed(node, samples, draw) {
  let drawn = 0;
  for (let start = 0; start < samples.length; start += BLOCK) {
    globalThis.currentTime = start / globalThis.sampleRate;
    const block = new Float32Array(BLOCK);
    block.set(samples.subarray(start, start + BLOCK));
    node.processor.process([[block]], [], node.settings);
    for (; drawn / FRAMES <= (start + BLOCK) / globalThis.sampleRate; drawn++) draw();
  }
}

// Web Audio's AnalyserNode over a whole recording, by the standard's formulas; `end` is how many samples have been played.
class Analyser {
  fftSize = 2048;
  end = 0;

  constructor(samples) {
    this.samples = samples;
  }

  get frequencyBinCount() {
    return this.fftSize / 2;
  }

  connect() {}

  getByteFrequencyData(bytes) {
    const size = this.fftSize;
    const turn = (2 * Math.PI) / size;
    this.blackman ??= Float64Array.from({ length: size }, (_, n) => 0.42 - 0.5 * Math.cos(turn * n) + 0.08 * Math.cos(2 * turn * n));
    this.smoothed ??= new Float64Array(size / 2);
    const real = this.blackman.map((weight, n) => weight * (this.samples[this.end - size + n] ?? 0));
    const imaginary = new Float64Array(size);
    fourier(real, imaginary);
    for (let k = 0; k < size / 2; k++) {
      this.smoothed[k] = 0.8 * this.smoothed[k] + 0.2 * (Math.hypot(real[k], imaginary[k]) / size);
      bytes[k] = Math.min(255, Math.max(0, Math.floor((255 / 70) * (20 * Math.log10(this.smoothed[k]) + 100)))); // -100 to -30 dB
    }
  }
}

// Fourier transform in place, by halves; the length is a power of two.
function fourier(real, imaginary) {
  const size = real.length;
  for (let n = 1, swapped = 0; n < size; n++) {
    let bit = size >> 1;
    for (; swapped & bit; bit >>= 1) swapped ^= bit;
    swapped |= bit;
    if (n < swapped) {
      [real[n], real[swapped]] = [real[swapped], real[n]];
      [imaginary[n], imaginary[swapped]] = [imaginary[swapped], imaginary[n]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let k = 0; k < half; k++) {
      const [cosine, sine] = [Math.cos((Math.PI * k) / half), -Math.sin((Math.PI * k) / half)];
      for (let n = k; n < size; n += 2 * half) {
        const [x, y] = [real[n + half], imaginary[n + half]];
        const [re, im] = [cosine * x - sine * y, cosine * y + sine * x];
        [real[n + half], imaginary[n + half]] = [real[n] - re, imaginary[n] - im];
        [real[n], imaginary[n]] = [real[n] + re, imaginary[n] + im];
      }
    }
  }
}

const PEERS = {
  async rhubarb() {
    const { Rhubarb } = await load("rhubarb-lip-sync-wasm/dist/index.js");
    const shapes = [..."ABCDEFGHX"];
    const rate = 100; // its own resolution
    return async ({ bytes }) => {
      const weights = Array.from({ length: Math.ceil((bytes.length / 32000) * rate) }, () => shapes.map((each) => +(each === "X")));
      let cues = [];
      try {
        cues = (await Rhubarb.getLipSync(bytes)).mouthCues;
      } catch {} // of some short sounds it makes nothing: the mouth stays closed
      for (const { start, end, value } of cues) {
        for (let n = Math.round(start * rate); n < Math.min(weights.length, Math.round(end * rate)); n++) {
          weights[n] = shapes.map((each) => +(each === value));
        }
      }
      return { rate, shapes, weights };
    };
  },

  async headaudio() {
    const folder = "@met4citizen/headaudio/dist/";
    await load(folder + "headworklet.min.mjs");
    const { HeadAudio } = await load(folder + "headaudio.min.mjs");
    const model = fs.readFileSync(within(folder + "model-en-mixed.bin")).toString("base64");
    return async ({ samples }) => {
      const node = new HeadAudio(null);
      await node.loadModel("data:application/octet-stream;base64," + model);
      const shapes = node.visemeNames;
      const now = shapes.map(() => 0);
      const weights = [];
      node.onvalue = (name, value) => (now[shapes.indexOf(name)] = value);
      feed(node, samples, () => (node.update(1000 / FRAMES), weights.push([...now])));
      return { rate: FRAMES, shapes, weights };
    };
  },

  async wlipsync() {
    const { createWLipSyncNode, configuration, parseBinaryProfile } = await load("wlipsync/dist/wlipsync.js");
    configuration.wasmModule = new WebAssembly.Module(fs.readFileSync(within("wlipsync/dist/wlipsync.wasm")));
    const profile = JSON.parse(fs.readFileSync(path.resolve(place, "profile.json"))); // the package has none of its own
    let count = 0;
    return async ({ samples }) => {
      await load("wlipsync/dist/audio-processor.js", `?${count++}`); // it keeps the last sound in the module
      const node = await createWLipSyncNode(null, profile);
      await new Promise(setImmediate); // until its WebAssembly is ready
      while (node.processor.inputBufferIndex < 0) await new Promise(setImmediate);
      const shapes = Object.keys(node.weights);
      const weights = [];
      // As its example drives a character.
      feed(node, samples, () => weights.push(shapes.map((each) => node.weights[each] * node.volume)));
      return { rate: FRAMES, shapes, weights };
    };
  },

  async wawa() {
    const { Lipsync, VISEMES } = await load("wawa-lipsync/dist/wawa-lipsync.es.js");
    const shapes = Object.values(VISEMES);
    return async ({ samples }) => {
      const analyser = new Analyser(samples);
      const source = { connect() {} };
      globalThis.window = {
        AudioContext: class {
          sampleRate = globalThis.sampleRate;
          createAnalyser = () => analyser;
          createMediaElementSource = () => source;
          resume() {}
        },
      };
      let time = 0;
      performance.now = () => 1000 * time;
      const lipsync = new Lipsync();
      lipsync.connectAudio({ src: "the buffer" });
      const now = shapes.map(() => 0);
      const weights = [];
      for (let frame = 0; frame / FRAMES < samples.length / globalThis.sampleRate; frame++) {
        time = frame / FRAMES;
        analyser.end = Math.floor((time * globalThis.sampleRate) / BLOCK) * BLOCK;
        lipsync.processAudio();
        const vowel = lipsync.state === "vowel";
        // As its example moves the morph targets.
        shapes.forEach((each, n) => {
          now[n] += each === lipsync.viseme ? (vowel ? 0.2 : 0.4) * (1 - now[n]) : (vowel ? -0.1 : -0.2) * now[n];
        });
        weights.push([...now]);
      }
      return { rate: FRAMES, shapes, weights };
    };
  },
};

console.log = console.warn = () => {}; // Rhubarb tells of every cue
const files = fs.readFileSync(0, "utf8").split("\n").filter(Boolean);
globalThis.sampleRate = readWav(files[0]).rate; // a worklet reads it when it loads
const run = await PEERS[peer]();
for (const file of files) {
  const { bytes } = readWav(file);
  const samples = samplesOf(bytes);
  const before = process.cpuUsage();
  const result = await run({ bytes, samples });
  const { user, system } = process.cpuUsage(before);
  fs.writeFileSync(file + ".part", JSON.stringify({ ...result, seconds: (user + system) / 1e6 }));
  fs.renameSync(file + ".part", file + ".json");
}
