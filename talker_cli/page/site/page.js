// The page: a microphone or a file, a worker that makes frames of it, a face that shows them.
import { RATES, TARGET } from "./resample.js";

const FILE_PART = 8192;  // samples of a file that a pass takes
const AHEAD = 0.5;  // seconds of frames before a file's sound begins, or goes on
const SLOW = 2;  // seconds of delay that are worth a word
const WATCHED = 1;  // seconds in which frames that are never needed show that the delay is too long

const byId = (id) => document.getElementById(id);
const show = (text) => { byId("problem").textContent = text; byId("problem").hidden = !text; };
const load = async (name) => {
  const answer = await fetch(name);
  if (!answer.ok) throw new Error(`${name} is missing (${answer.status}); make the folder again`);
  return answer;
};

for (const kind of ["error", "unhandledrejection"]) {
  window.addEventListener(kind, ({ message, reason }) => show(`The page cannot be shown: ${message || reason.message}.`));
}

const site = await (await load("site.json")).json();
const [packed, model] = await Promise.all(["face.bin", "student.onnx"].map(async (name) => (await load(name)).arrayBuffer()));
const face = await openFace(byId("stage"), site.face, packed);
const { fps, names } = site.live, places = site.face.names.map((name) => names.indexOf(name));
const worker = new Worker("worker.js", { type: "module" });

// A sound, its frames so far, and the clock that says which one to show.
let playing = null, starts = 0;

class Sound {
  constructor() {
    this.id = starts;
    this.frames = [];
    this.first = 0;  // number of the first of them
    this.over = false;
  }

  push(samples) { worker.postMessage({ id: this.id, samples }, [samples.buffer]); }

  // Seconds of frames so far.
  get made() { return (this.first + this.frames.length) / fps; }

  // Append frames (T * K).
  add(values) {
    for (let at = 0; at < values.length; at += names.length) this.frames.push(values.subarray(at, at + names.length));
  }

  // Set the face to an instant; between two frames, to what lies between.
  pose(seconds) {
    const at = Math.min(Math.max(seconds * fps, this.first), this.first + this.frames.length - 1) - this.first;
    const one = Math.floor(at), share = at - one, now = this.frames[one], next = this.frames[one + 1] || now;
    if (now) places.forEach((place, k) => { face.weights[k] = (1 - share) * now[place] + share * next[place]; });
  }

  // Forget the frames before an instant.
  forget(seconds) {
    const gone = Math.floor(seconds * fps) - this.first;
    if (gone > 0) { this.frames.splice(0, gone); this.first += gone; }
  }
}

// The face follows at the least delay at which it does not stall: it waits where frames are missing, and takes up what is spare.
class Microphone extends Sound {
  constructor(stream, context) {
    super();
    this._stream = stream;
    this._context = context;
    this._delay = this._since = 0;
    this._spare = Infinity;
  }

  begin() {
    const { _context: context, _stream: stream } = this;
    worker.postMessage({ id: this.id, rate: context.sampleRate, live: true });
    const node = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data: { samples, from } }) => {
      this._from ??= from;
      this.push(samples);
    };
    context.createMediaStreamSource(stream).connect(node).connect(context.destination);  // a silence, which keeps it running
    stream.getAudioTracks()[0].onended = () => { stop(); show("The microphone was taken away."); };
  }

  static async open() {
    if (!navigator.mediaDevices) throw new Error("a page has a microphone on localhost or by https only");
    const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: true };
    const stream = await navigator.mediaDevices.getUserMedia({ audio });
    let context = new AudioContext();
    if (!RATES.includes(context.sampleRate)) context = new AudioContext({ sampleRate: 48000 });
    await context.audioWorklet.addModule("capture.js");
    return new Microphone(stream, context);
  }

  tick() {
    if (this._from === undefined || !this.frames.length) return;
    const now = this._context.currentTime - this._from, spare = this.made - 1 / fps - (now - this._delay);
    this._spare = Math.max(0, Math.min(this._spare, spare));
    if (spare < 0) this._delay -= spare;
    else if (now - this._since > WATCHED) {
      this._delay -= this._spare;
      this._since = now;
      this._spare = Infinity;
    }
    this.pose(now - this._delay);
    this.forget(now - this._delay);
  }

  get status() {
    if (!this.frames.length) return "listening";
    const slow = this._delay > SLOW ? "; this machine is too slow for a live face" : "";
    return `${Math.round(1000 * this._delay)} ms after the voice${slow}`;
  }

  stop() {
    this._stream.getTracks().forEach((track) => track.stop());
    this._context.close();
  }
}

class Recording extends Sound {
  constructor(file, speech) {
    super();
    this._speech = speech;
    this._audio = new Audio(URL.createObjectURL(file));
    this._audio.onended = stop;
  }

  begin() {
    const { id, _speech: speech } = this;
    worker.postMessage({ id, rate: TARGET, live: false });
    for (let at = 0; at < speech.length; at += FILE_PART) this.push(speech.slice(at, at + FILE_PART));
    worker.postMessage({ id, over: true });
  }

  static async open(file) {
    let decoded;
    try {
      decoded = await new OfflineAudioContext(1, 1, TARGET).decodeAudioData(await file.arrayBuffer());
    } catch {
      throw new Error(`${file.name} holds no sound that this browser reads`);
    }
    const speech = new Float32Array(decoded.length), channels = decoded.numberOfChannels;
    for (let channel = 0; channel < channels; channel++) {
      decoded.getChannelData(channel).forEach((value, i) => { speech[i] += value / channels; });
    }
    return new Recording(file, speech);
  }

  tick() {
    const now = this._audio.currentTime, spare = this.made - now, ready = this.over || spare > AHEAD;
    if (ready && this._audio.paused && !this._waiting) {
      this._waiting = this._audio.play().catch((error) => { stop(); show(`The sound cannot be played: ${error.message}`); })
        .finally(() => { this._waiting = null; });
    } else if (!ready && spare < 2 / fps && !this._audio.paused) this._audio.pause();
    this.pose(now);
  }

  get status() {
    const ahead = Math.max(0, this.made - this._audio.currentTime);
    return `${this._audio.currentTime.toFixed(1)} / ${(this._speech.length / TARGET).toFixed(1)} s, ${ahead.toFixed(1)} s ahead`;
  }

  stop() { this._audio.onended = null; this._audio.pause(); URL.revokeObjectURL(this._audio.src); }
}

async function start(open) {
  stop();
  show("");
  const mine = ++starts;
  try {
    const sound = await open();
    if (starts !== mine) { sound.stop(); return; }  // another was begun meanwhile
    playing = sound;
    sound.begin();
  } catch (error) { show(`${error.message}.`); }
  buttons();
}

function stop() {
  starts++;
  playing?.stop();
  playing = null;
  worker.postMessage({ id: 0 });
  byId("status").textContent = "";
  buttons();
}

function buttons() {
  byId("microphone").classList.toggle("on", playing instanceof Microphone);
  byId("microphone").textContent = playing instanceof Microphone ? "Stop" : "Microphone";
  byId("open").classList.toggle("on", playing instanceof Recording);
  byId("open").textContent = playing instanceof Recording ? "Stop" : "Open a file";
}

worker.onmessage = ({ data: { ready, problem, id, frames, over } }) => {
  if (ready) {
    byId("microphone").disabled = byId("open").disabled = false;
    show("");
    document.body.dataset.ready = "yes";
    navigator.serviceWorker?.register("offline.js").catch(() => {});  // it is of use, not needed
  } else if (problem) {
    stop();
    show(`The face cannot be made: ${problem}`);
  } else if (playing?.id === id) {
    if (frames) playing.add(frames);
    playing.over = over;
  }
};
worker.onerror = (event) => show(`The face cannot be made: ${event.message || "this browser runs no module workers"}`);
worker.postMessage({ config: site.live, model }, [model]);

// Drawing

let drawn = 0, since = performance.now();

function tick() {
  requestAnimationFrame(tick);
  playing?.tick();
  if (!playing?.frames.length) {  // back to rest
    if (!playing && !face.stale && face.weights.every((value) => !value)) return;
    face.weights.forEach((value, k) => { face.weights[k] = Math.abs(value) < 1e-3 ? 0 : 0.8 * value; });
  }
  face.draw();
  drawn++;
  const now = performance.now();
  if (now - since < 500) return;
  if (playing) byId("status").textContent = `${Math.round((1000 * drawn) / (now - since))} frames/s, ${playing.status}`;
  drawn = 0;
  since = now;
}

// Hands

const toggle = (kind, open) => () => { if (playing instanceof kind) stop(); else open(); };
const listen = toggle(Microphone, () => start(Microphone.open));
const choose = toggle(Recording, () => byId("file").click());
const take = (file) => { if (file && !byId("open").disabled) start(() => Recording.open(file)); };
byId("microphone").addEventListener("click", listen);
byId("open").addEventListener("click", choose);
byId("home").addEventListener("click", face.front);
byId("file").addEventListener("change", ({ target }) => { take(target.files[0]); target.value = ""; });
document.addEventListener("keydown", (event) => { if (event.key === "0" || event.key === "Home") face.front(); });
for (const [name, over] of [["dragover", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle("over", over);
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
}
byId("stage").addEventListener("webglcontextlost", () => show("The graphics card was reset; load the page again."));
tick();
