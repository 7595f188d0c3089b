// Sound of usual rates at 16 kHz, as it comes: what talker_cli/formats/resample.py does.
export const TARGET = 16000;
export const RATES = [8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 88200, 96000];
const CROSSINGS = 24, CUTOFF = 0.94, KAISER = 8;

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

function bessel(x) {  // of the first kind, modified, order 0
  let sum = 1, term = 1;
  for (let k = 1; term > 1e-17 * sum; k++) { term *= (x / 2 / k) ** 2; sum += term; }
  return sum;
}

export class Resampler {
  constructor(rate) {
    this._rate = rate;
    this._half = Math.ceil((CROSSINGS * Math.max(1, rate / TARGET)) / CUTOFF);  // inputs to either side of an output
    this._samples = new Float32Array(this._half - 1);  // silence before the sound
    this._first = 1 - this._half;
    this._count = this._made = 0;
    this._phases = TARGET / divisor(rate, TARGET);
    const width = CUTOFF * Math.min(1, TARGET / rate), half = this._half;
    this._filters = Array.from({ length: rate === TARGET ? 0 : this._phases }, (_, phase) => {
      const taps = Float64Array.from({ length: 2 * half }, (__, tap) => {
        const place = tap + 1 - half - phase / this._phases, x = Math.PI * width * place;
        const window = bessel(KAISER * Math.sqrt(Math.max(1 - (place / half) ** 2, 0))) / bessel(KAISER);
        return (x ? Math.sin(x) / x : 1) * window;
      });
      const sum = taps.reduce((total, value) => total + value);
      return Float32Array.from(taps, (value) => value / sum);
    });
  }

  // Append samples; return those at 16 kHz that became known.
  push(samples) {
    if (this._rate === TARGET) return samples;
    this._count += samples.length;
    return this._advance(samples, Math.max(0, Math.floor(((this._count - this._half - 1) * TARGET) / this._rate) + 1));
  }

  // End the sound: silence follows.
  finish() {
    if (this._rate === TARGET) return new Float32Array(0);
    return this._advance(new Float32Array(this._half + 1), Math.ceil((this._count * TARGET) / this._rate));
  }

  _advance(samples, end) {
    const known = new Float32Array(this._samples.length + samples.length);
    known.set(this._samples);
    known.set(samples, this._samples.length);
    this._samples = known;
    if (end <= this._made) return new Float32Array(0);
    const step = this._rate / (TARGET / this._phases);  // 16 kHz and the rate in units of their divisor
    const made = new Float32Array(end - this._made);
    for (let i = 0; i < made.length; i++) {
      const tick = (this._made + i) * step;
      const from = Math.floor(tick / this._phases) + 1 - this._half - this._first, filter = this._filters[tick % this._phases];
      let sum = 0;
      for (let tap = 0; tap < filter.length; tap++) sum += known[from + tap] * filter[tap];
      made[i] = sum;
    }
    this._made = end;
    const gone = Math.floor((end * this._rate) / TARGET) + 1 - this._half - this._first;
    this._samples = known.slice(gone);
    this._first += gone;
    return made;
  }
}
