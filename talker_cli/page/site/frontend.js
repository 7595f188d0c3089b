// Speech at 16 kHz, in parts of any length -> the windows that the columns of any frames' spectrogram are made of: what
// talker_cli/model/frontend.py and mel.py do; the student's graph does the rest.
import { TARGET } from "./resample.js";

export const WINDOW = 400;  // samples

// To the nearest integer, halves to the even one, as NumPy rounds.
function rounded(x) {
  const low = Math.floor(x), rest = x - low;
  return rest < 0.5 || (rest === 0.5 && low % 2 === 0) ? low : low + 1;
}

export class Frontend {
  constructor({ fps, melsPerFrame }) {
    this._columns = melsPerFrame;
    this._frame = TARGET / fps;  // samples
    this._speech = new Float32Array(0);
    this._offset = 0;
  }

  push(speech) {
    const longer = new Float32Array(this._speech.length + speech.length);
    longer.set(this._speech);
    longer.set(speech, this._speech.length);
    this._speech = longer;
  }

  // The number of frames whose windows lie in the speech so far.
  ready() {
    const samples = this._offset + this._speech.length;
    return Math.max(0, Math.trunc((samples - WINDOW / 2 - 1) / this._frame + 0.5 + 0.5 / this._columns));
  }

  // The windows (columns, WINDOW) of frames first … end; silence beyond the speech.
  windows(first, end) {
    const made = new Float32Array((end - first) * this._columns * WINDOW);
    for (let column = 0; column < (end - first) * this._columns; column++) {
      const centre = rounded(((column + 0.5) / this._columns - 0.5 + first) * this._frame);
      const start = centre - this._offset - WINDOW / 2, from = Math.max(0, start);
      made.set(this._speech.subarray(from, Math.max(from, start + WINDOW)), column * WINDOW + from - start);
    }
    return made;
  }

  // Drop the samples that only frames before frame `before` need.
  forget(before) {
    const count = Math.trunc((before - 0.5) * this._frame) - WINDOW - this._offset;
    if (count <= 0) return;
    this._speech = this._speech.slice(count);
    this._offset += count;
  }
}
