// The student's graph in ONNX Runtime Web, on one thread: a static server sends no headers that allow more.
import * as ort from "./ort.js";
import { WINDOW } from "./frontend.js";

ort.env.wasm.numThreads = 1;
ort.env.wasm.wasmPaths = { wasm: new URL("ort.wasm", import.meta.url).href };
ort.env.logLevel = "error";

const tensor = (values, shape) => new ort.Tensor("float32", values, shape);

// Rows of one width as one array, and back.
function packed(rows) {
  const values = new Float32Array(rows.length * rows[0].length);
  rows.forEach((row, index) => values.set(row, index * row.length));
  return tensor(values, [1, rows.length, rows[0].length]);
}
const unpacked = ({ data, dims: [, count, width] }) =>
  Array.from({ length: count }, (_, row) => data.subarray(row * width, (row + 1) * width));

export class Network {
  // Inputs: by name the shape of a frame of zeros, for stages that are not wanted.
  static async load(bytes, inputs) {
    const made = new Network();
    made._session = await ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] });
    made._unused = Object.fromEntries(
      Object.entries(inputs).map(([name, shape]) => [name, tensor(new Float32Array(shape.reduce((a, b) => a * b)), shape)]));
    return made;
  }

  async _run(output, given) {
    return (await this._session.run({ ...this._unused, ...given }, [output]))[output];
  }

  // Resolve to the speech features of windows of sound, a row a frame.
  async encode(windows) {
    const { data, dims } = await this._run("mel", { windows: tensor(windows, [windows.length / WINDOW, WINDOW]) });
    return unpacked(await this._run("features", { encoder_input: tensor(data, [1, ...dims]) }));
  }

  // Resolve to x0 of noisy frames at timestep t, 0…1; emotion: its strengths, null of a model that knows none.
  async denoise(noisy, t, features, style, emotion) {
    const given = {
      noisy: packed(noisy), t: tensor(Float32Array.of(t), [1]), speech_features: packed(features),
      style: tensor(Float32Array.from(style), [1, style.length]),
    };
    if (emotion) given.emotion = packed(noisy.map(() => emotion));
    return unpacked(await this._run("x0", given));
  }
}
