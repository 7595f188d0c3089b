// Motion as the speech comes in: what talker_cli/animate/stream.py does live, and `finished` after it. Frames are rows.
import { Frontend } from "./frontend.js";
import { EyeMotion } from "./eyes.js";
import { frameNoise } from "./philox.js";
import { TARGET } from "./resample.js";

const CHUNK = 2;  // new frames waited for
const MOST = 1024;  // frames of speech a pass

// Frames of a quantity: final ones, and behind them those that the next pass will replace.
class Track {
  constructor() {
    this.start = 0;
    this.final = [];
    this.tail = [];
  }

  get end() { return this.start + this.final.length; }

  put(frames, final) {
    this.final.push(...frames.slice(0, final));
    this.tail = frames.slice(final);
  }

  window(first, end) { return [...this.final, ...this.tail].slice(first - this.start, end - this.start); }

  // Drop the final frames before frame `before`, and return them.
  forget(before) {
    const dropped = this.final.splice(0, Math.max(0, before - this.start));
    this.start += dropped.length;
    return dropped;
  }
}

export class MotionStream {
  // Config: site.json's `live`. Network: see network.js.
  constructor(config, network) {
    this._config = config;
    this._network = network;
    this._frontend = new Frontend(config);
    this._eyes = config.eyes && new EyeMotion(config);
    this._noise = new Track();
    this._features = new Track();
    this._states = config.timesteps.map(() => new Track());
    this._motion = new Track();
    this._seed = BigInt.asUintN(64, BigInt(config.seed));
    this._frames = this.samples = 0;
  }

  // Append speech at 16 kHz; resolve to the frames that became final.
  async push(speech) {
    const block = Math.trunc((MOST * TARGET) / this._config.fps), made = [];
    for (let start = 0; start < speech.length; start += block) {
      const piece = speech.subarray(start, start + block);
      this._frontend.push(piece);
      this._eyes?.push(piece);
      this.samples += piece.length;
      const known = Math.min(this._frontend.ready(), this._count);
      if (known - this._frames >= CHUNK) made.push(...(await this._advance(known, false)));
    }
    return made;
  }

  // End the speech; resolve to the frames that still waited.
  finish() { return this._advance(this._count, true); }

  get _count() { return Math.trunc((this.samples * this._config.fps) / TARGET); }

  async _advance(known, last) {
    const { encoderHalo, denoiserHalo, mean, std } = this._config, states = this._states;
    this._frames = known;
    known = await this._run(this._features, encoderHalo, known, last, (first, end) =>
      this._network.encode(this._frontend.windows(first, end)));
    this._frontend.forget(this._features.end - encoderHalo);
    for (const [step, state] of states.entries()) {
      known = await this._run(state, denoiserHalo, known, last, (first, end) => this._denoise(step, first, end));
      (step ? states[step - 1] : this._noise).forget(state.end - denoiserHalo);
    }
    const motion = this._motion, noisy = states[states.length - 1], reach = this._config.kernels.length >> 1;
    this._features.forget(noisy.end - denoiserHalo);
    await this._run(motion, reach, known, last, (first, end) => this._filtered(noisy.window(first, end)));
    noisy.forget(motion.end - reach);
    const frames = motion.forget(motion.end).map((row) => row.map((value, k) => Math.fround(value * std[k]) + mean[k]));
    this._eyes?.apply(frames);
    return frames.map((row) => this._finished(row));
  }

  // Make the frames of `track` that `known` frames before it allow; return how many there are now, final or not.
  async _run(track, halo, known, last, make) {
    const done = track.end, first = Math.max(0, done - halo);
    if (known > done) {
      const final = last ? known : Math.max(done, known - this._config.lookAhead);
      track.put((await make(first, known)).slice(done - first), final - done);
    }
    return known;
  }

  // Frames first … end after a denoising step, along the deterministic path (Song et al. 2021, equation 12 with eta 0).
  async _denoise(step, first, end) {
    const { timesteps, style, emotion } = this._config, t = timesteps[step], s = timesteps[step + 1];
    const noisy = step ? this._states[step - 1].window(first, end) : this._start(first, end);
    const x0 = await this._network.denoise(noisy, t, this._features.window(first, end), style, emotion);
    if (s === undefined) return x0;
    const [a, b, c, d] = [t, s].flatMap((at) => [Math.cos((at * Math.PI) / 2), Math.sin((at * Math.PI) / 2)]);
    return x0.map((row, frame) => row.map((value, k) => c * value + (d * (noisy[frame][k] - a * value)) / b));
  }

  // Each coefficient filtered over time by a kernel of its own; frames outside count as none.
  _filtered(rows) {
    const { kernels } = this._config, reach = kernels.length >> 1;
    return rows.map((row, frame) => {
      const near = kernels.map((weights, k) => [weights, rows[frame + k - reach]]).filter(([, other]) => other);
      return row.map((value, k) => {
        let total = 0, weight = 0;
        for (const [weights, other] of near) { total += weights[k] * other[k]; weight += weights[k]; }
        return total / weight;
      });
    });
  }

  // The noise that belongs to these frames.
  _start(first, end) {
    const { temperature } = this._config, noise = this._noise;
    if (end > noise.end) {
      const fresh = frameNoise(this._seed, temperature.length, noise.end, end);
      noise.put(fresh.map((row) => row.map((value, k) => value * temperature[k])), fresh.length);
    }
    return noise.window(first, end);
  }

  // The identity's offset, ARKit's shapes within 0…1, and the factors of parts of the face.
  _finished(row) {
    const { offset, bounded, factors } = this._config;
    return row.map((value, k) => {
      const moved = value + (offset ? offset[k] : 0);
      return (k < bounded ? Math.min(Math.max(moved, 0), 1) : moved) * (factors ? factors[k] : 1);
    });
  }
}
