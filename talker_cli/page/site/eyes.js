// The eyes as a process of events: what talker_cli/corpus/articulate/eyes.py and animate/eyes.py do, with the same numbers.
import { Random } from "./philox.js";

const RATE = 50, TICK = 320;  // ticks a second, samples a tick
const BLOCK = 512;  // ticks whose random numbers are drawn at once

// Voice activity, dB and dBFS.
const RANGE = 24, QUIETEST = -50, FALL = 3;

// Blinks, seconds.
const CLOSING = 0.075, HELD = 0.016, OPENING = 0.165, REFRACTORY = 0.45, SPREAD = 0.55, PROMPT = 6, DEPTH_SPREAD = 0.02;
const BORDER = [0.12, 0.6], PHRASE = 0.4, LONG_GAZE = 2, LARGE = 6, TYPICAL = 1.02;
const FACTORS = { shift: 0.75, longGaze: 0.85, speech: 1.12, onset: 1.12, hesitation: 0.68, silence: 0.98 };

// Gaze, degrees.
const SACCADE = [0.025, 0.0024], FIXATION = [0.75, 0.55, 0.18], CONTACT = [1.1, 0.8], ASIDE = [4, 4.5, 15];
const LOOK = { speech: 0.14, onset: 0.55, hesitation: 0.9, silence: 0.05 };
const RETURN = { speech: 1.6, onset: 0.7, hesitation: 0.6, silence: 1.2 };
const LEAST_ASIDE = 0.35, ONSET = 0.5, PAUSE = 0.5, REACH = 18;
const UP = 22, DOWN = 26, SIDE = 28, LID_DOWN = 0.35, LID_UP = 0.12, BELL = 0.16;

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const ease = (share) => { const x = clamp(share, 0, 1); return x * x * x * (x * (6 * x - 15) + 10); };

// Says of each tick whether there is speech, by the sound until then alone.
class VoiceActivity {
  constructor() {
    this._rest = new Float32Array(0);
    this._loudest = QUIETEST;
  }

  push(speech) {
    const samples = new Float32Array(this._rest.length + speech.length);
    samples.set(this._rest);
    samples.set(speech, this._rest.length);
    const count = Math.floor(samples.length / TICK), speaking = [];
    for (let tick = 0; tick < count; tick++) {
      let power = 0;
      for (let i = tick * TICK; i < (tick + 1) * TICK; i++) power += samples[i] * samples[i];
      const level = 10 * Math.log10(power / TICK + 1e-12);
      this._loudest = Math.max(level, this._loudest - FALL / RATE, QUIETEST);
      speaking.push(level > Math.max(this._loudest - RANGE, QUIETEST));
    }
    this._rest = samples.slice(count * TICK);
    return speaking;
  }
}

// A point beside the listener, degrees left and up.
function pointAside(size, where, chance, normal) {
  const length = Math.min(ASIDE[0] - ASIDE[1] * Math.log(Math.max(1 - chance[2], 1e-6)), ASIDE[2]) * size;
  const upwards = chance[1] < (where === "onset" || where === "hesitation" ? 0.55 : 0.3);
  const slope = clamp((upwards ? 0.55 : -0.45) + 0.3 * normal[1], -0.9, 0.9);
  return [(normal[0] > 0 ? 1 : -1) * length * Math.sqrt(1 - slope * slope), length * slope];
}

function blinkShape(tau) {
  const opening = clamp((tau - CLOSING - HELD) / OPENING, 0, 1);
  return tau < CLOSING ? ease(tau / CLOSING) : 1 - ease(opening ** 0.8);
}

// The events of one person's eyes, tick by tick.
class Eyes {
  constructor(style, mood, seed) {
    this._style = style;
    this._mood = mood;
    this._seed = BigInt(seed) % (1n << 63n);
    this.ticks = 0;
    this._blinks = [];
    this._saccades = [{ start: -1, duration: SACCADE[0], goal: [0, 0], aside: false }];
    this._need = 0;
    this._last = -1;
    this._threshold = 0;
    this._silence = this._pause = 10;
    this._talk = 0;
    this._until = 0;
    this._asideSince = -1;
  }

  // Go through the next ticks; `speaking` says at which there is speech.
  advance(speaking) {
    for (const voiced of speaking) {
      const inside = this.ticks % BLOCK;
      if (!inside) {
        const random = new Random([this._seed, 0n], [0n, 0n, 0n, BigInt(this.ticks / BLOCK)]);
        const drawn = (width, draw) => Array.from({ length: BLOCK }, () => Array.from({ length: width }, draw));
        this._chances = drawn(4, () => random.uniform());
        this._normals = drawn(6, () => random.normal());
      }
      this._tick(voiced, this._chances[inside], this._normals[inside]);
    }
  }

  _tick(voiced, chance, normal) {
    const now = this.ticks / RATE;
    if (!this.ticks) [this._need, this._threshold] = [chance[3], 1];  // the first blink may come at any time
    if (voiced) {
      if (this._silence >= BORDER[0]) [this._talk, this._pause] = [0, this._silence];
      this._talk += 1 / RATE;
      this._silence = 0;
    } else this._silence += 1 / RATE;
    const border = this._silence >= BORDER[0] && this._silence <= BORDER[1] && this._talk >= PHRASE;
    let where = this._pause >= PAUSE && this._talk < ONSET ? "onset" : "speech";
    if (this._silence > BORDER[1]) where = "silence";
    else if (border) where = "hesitation";
    this._look(now, where, chance, normal);
    this._blink(now, where, chance, normal);
    this.ticks++;
  }

  // Begin a saccade, if the eyes look aside, look back, or go on to another point.
  _look(now, where, chance, normal) {
    const last = this._saccades[this._saccades.length - 1], size = this._style.gaze * this._mood.gaze;
    if (now - last.start < FIXATION[2]) return;
    const contact = () => this._saccade(now, [CONTACT[0] * normal[0], CONTACT[1] * normal[1]], false, chance, normal);
    if (last.aside) {
      if (now - this._asideSince > LEAST_ASIDE && chance[0] < RETURN[where] / RATE) contact();
      else if (now > this._until) {  // another point not far away
        const step = 1.5 * size;
        this._saccade(now, [last.goal[0] + step * normal[0], last.goal[1] + step * normal[1]], true, chance, normal);
      }
    } else if (size > 0 && chance[0] < (LOOK[where] * Math.sqrt(size)) / RATE) {
      this._asideSince = now;
      this._saccade(now, pointAside(size, where, chance, normal), true, chance, normal);
    } else if (now > this._until) contact();
  }

  _saccade(now, goal, aside, chance, normal) {
    const here = this._saccades[this._saccades.length - 1].goal;
    goal = goal.map((degrees) => clamp(degrees, -REACH, REACH));
    const length = Math.hypot(goal[0] - here[0], goal[1] - here[1]);
    this._saccades.push({ start: now + (1 + chance[2]) / RATE, duration: SACCADE[0] + SACCADE[1] * length, goal, aside });
    this._until = now + Math.max(FIXATION[2], FIXATION[0] * Math.exp(FIXATION[1] * normal[2]));
  }

  // Begin a blink, if one is due.
  _blink(now, where, chance, normal) {
    const gaze = this._saccades[this._saccades.length - 1];
    let factor = FACTORS[where];
    if (now - gaze.start > LONG_GAZE) factor *= FACTORS.longGaze;
    if (now - gaze.start < 1.5 / RATE && gaze.duration > SACCADE[0] + SACCADE[1] * LARGE) factor *= FACTORS.shift;
    const waiting = Math.max(60 / this._style.blinks - 1 / PROMPT, REFRACTORY);
    this._need += this._mood.blinks / (TYPICAL * waiting * RATE);
    if (now - this._last < REFRACTORY || this._need < this._threshold * factor || chance[1] >= PROMPT / RATE) return;
    this._blinks.push({
      start: now + (1 + chance[3]) / RATE,
      pace: Math.exp(clamp(0.14 * normal[4], -0.3, 0.3)),
      depth: clamp(this._style.depth + DEPTH_SPREAD * normal[3], 0, 1),
      late: 0.004 * Math.abs(normal[5]),
      uneven: 0.01 * normal[0],
    });
    this._last = now;
    this._need = 0;
    this._threshold = Math.exp(SPREAD * normal[1] - SPREAD ** 2 / 2);
  }

  // How far blinks close the left and the right lid.
  _closure(time) {
    let left = 0, right = 0;
    for (const { start, pace, depth, late, uneven } of this._blinks) {
      const tau = time - start;
      if (tau < 0 || tau >= (CLOSING + HELD + OPENING) * pace + late) continue;
      left = Math.max(left, Math.min(depth * (1 + uneven), 1) * blinkShape(tau / pace));
      right = Math.max(right, Math.min(depth * (1 - uneven), 1) * blinkShape((tau - late) / pace));
    }
    return [left, right];
  }

  // Where the eyes look, degrees to the subject's left and up.
  _gaze(time) {
    let index = 0;
    while (index + 1 < this._saccades.length && this._saccades[index + 1].start <= time) index++;
    const { start, duration, goal } = this._saccades[index], before = this._saccades[Math.max(index - 1, 0)].goal;
    return before.map((from, axis) => from + (goal[axis] - from) * ease((time - start) / duration));
  }

  // The coefficients of the eyes, by ARKit's names; `wide` without blinks and gaze, `head` pitch and yaw in radians.
  curves(time, wide, head) {
    const lids = this._closure(time);
    let [aside, up] = this._gaze(time);
    aside = clamp(aside - (head[1] * 180) / Math.PI, -REACH, REACH) / SIDE;  // against the head's turn
    up = clamp(up - this._mood.down + (head[0] * 180) / Math.PI, -REACH, REACH);
    const high = Math.max(up, 0) / UP, low = Math.max(-up, 0) / DOWN;
    const lid = Math.max(this._style.lid + this._mood.lid, 0) + LID_DOWN * low, curves = {};
    for (const [index, side] of ["Left", "Right"].entries()) {
      const outward = index ? -aside : aside;
      curves[`eyeWide${side}`] = (wide[index] + LID_UP * high) * (1 - lids[index]);
      curves[`eyeBlink${side}`] = lids[index] + lid * (1 - lids[index]);
      curves[`eyeLookDown${side}`] = low + BELL * Math.max(...lids);
      curves[`eyeLookUp${side}`] = high;
      curves[`eyeLookOut${side}`] = Math.max(outward, 0);
      curves[`eyeLookIn${side}`] = Math.max(-outward, 0);
    }
    return curves;
  }

  // Drop the events that no instant from `before` on needs.
  forget(before) {
    this._blinks = this._blinks.filter(({ start, pace, late }) => start + (CLOSING + HELD + OPENING) * pace + late > before);
    const late = this._saccades.filter(({ start }) => start <= before).length;
    if (late > 1) this._saccades.splice(0, late - 2);
  }
}

// The eyes of one sound, part by part.
export class EyeMotion {
  constructor({ names, fps, eyes, seed }) {
    this._fps = fps;
    this._headScale = eyes.head;
    this._frame = 0;
    this._place = Object.fromEntries(names.map((name, column) => [name, column]));
    this._voice = new VoiceActivity();
    this._eyes = new Eyes(eyes.style, eyes.mood, seed);
  }

  push(speech) { this._eyes.advance(this._voice.push(speech)); }

  // Put the eyes into the next frames; beyond the speech so far there is silence.
  apply(frames) {
    const place = this._place, eyes = this._eyes;
    for (const row of frames) {
      const time = this._frame++ / this._fps;
      while (eyes.ticks <= Math.trunc(time * RATE)) eyes.advance([false]);
      const head = "headPitch" in place ? [row[place.headPitch], row[place.headYaw]] : [0, 0];
      const wide = [row[place.eyeWideLeft], row[place.eyeWideRight]];
      const curves = eyes.curves(time, wide, head.map((angle) => this._headScale * angle));
      for (const [name, value] of Object.entries(curves)) row[place[name]] = clamp(value, 0, 1);
      eyes.forget(time);
    }
  }
}
