// The random numbers of talker's Python side, bit for bit: Philox 4x64 of 10 rounds (Salmon et al. 2011), as NumPy counts it.
const WORD = (1n << 64n) - 1n;
const FACTORS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const STEPS = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];

function scrambled([a, b, c, d], [k, l]) {
  for (let round = 0; round < 10; round++) {
    const p = FACTORS[0] * a, q = FACTORS[1] * c;
    [a, b, c, d] = [(q >> 64n) ^ b ^ k, q & WORD, (p >> 64n) ^ d ^ l, p & WORD];
    k = (k + STEPS[0]) & WORD;
    l = (l + STEPS[1]) & WORD;
  }
  return [a, b, c, d];
}

// Layers of the ziggurat of a normal distribution (Marsaglia & Tsang 2000), of equal area; the lowest has the tail.
const EDGE = 3.6541528853610088, AREA = 0.004928673233974658;
const density = (x) => Math.exp((-x * x) / 2);
const WIDTHS = new Float64Array(256), INSIDE = new Float64Array(256), HEIGHTS = new Float64Array(256);
for (let layer = 255, x = EDGE; layer >= 0; layer--) {
  const next = layer > 1 ? Math.sqrt(-2 * Math.log(AREA / x + density(x))) : 0;  // where the layer above ends
  const outer = layer ? x : AREA / density(EDGE);
  WIDTHS[layer] = outer / 2 ** 52;
  INSIDE[layer] = (layer ? next : EDGE) / outer;
  HEIGHTS[layer] = layer ? density(x) : 1;
  if (layer > 1) x = next;
}

export class Random {
  // Key: two 64-bit BigInts. Counter: four; the first numbers are those of the counter that follows it.
  constructor(key, counter) {
    this._key = key;
    this._counter = [...counter];
    this._words = [];
  }

  word() {
    if (!this._words.length) {
      this._counter[0] = (this._counter[0] + 1n) & WORD;  // never so many that the next one counts too
      this._words = scrambled(this._counter, this._key);
    }
    return this._words.shift();
  }

  // In 0…1, 1 excluded.
  uniform() { return Number(this.word() >> 11n) * 2 ** -53; }

  normal() {
    for (;;) {
      const word = this.word();
      const layer = Number(word & 255n), place = Number((word >> 9n) & 0xfffffffffffffn);
      const x = (word & 256n ? -1 : 1) * place * WIDTHS[layer];
      if (place < INSIDE[layer] * 2 ** 52) return x;
      if (layer) {
        if ((HEIGHTS[layer - 1] - HEIGHTS[layer]) * this.uniform() + HEIGHTS[layer] < density(x)) return x;
        continue;
      }
      for (;;) {
        const beyond = -Math.log1p(-this.uniform()) / EDGE, fall = -Math.log1p(-this.uniform());
        if (2 * fall > beyond * beyond) return (place >>> 8) & 1 ? -(EDGE + beyond) : EDGE + beyond;
      }
    }
  }
}

// The noise (width) of each of the frames first … end at a sampler's start: see talker_cli/model/noise.py.
export function frameNoise(seed, width, first, end) {
  const counts = Math.ceil(width / 4);
  const random = new Random([seed, 0n], [BigInt(first * counts), 0n, 0n, 0n]);
  const frames = [];
  for (let frame = first; frame < end; frame++) {
    const values = new Float32Array(4 * counts);
    for (let i = 0; i < values.length; i += 2) {
      const radius = Math.sqrt(-2 * Math.log1p(-random.uniform())), angle = 2 * Math.PI * random.uniform();
      values[i] = radius * Math.cos(angle);
      values[i + 1] = radius * Math.sin(angle);
    }
    frames.push(values.subarray(0, width));
  }
  return frames;
}
