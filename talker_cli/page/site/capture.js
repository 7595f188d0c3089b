// The microphone's samples, mono, in blocks, with the instant of their first one.
const BLOCK = 1024;

registerProcessor("capture", class extends AudioWorkletProcessor {
  constructor() {
    super();
    this._block = new Float32Array(BLOCK);
    this._count = 0;
  }

  process([[channel]], [[output]]) {
    const length = output.length;  // of a silent track, which has no channel
    if (channel) this._block.set(channel, this._count);
    else this._block.fill(0, this._count, this._count + length);
    this._count += length;
    if (this._count === BLOCK) {
      this.port.postMessage({ samples: this._block.slice(), from: currentTime + (length - BLOCK) / sampleRate });
      this._count = 0;
    }
    return true;
  }
});
