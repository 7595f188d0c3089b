// Runs the student beside the page: sound in, frames out. Of a microphone, a pass takes all that waits; of a file, a part.
import { MotionStream } from "./stream.js";
import { Network } from "./network.js";
import { Resampler } from "./resample.js";

let config = null, network = null, sound = null;

function joined(parts) {
  const whole = new Float32Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}

async function animate(mine) {
  const { id, live, waiting } = mine, resampler = new Resampler(mine.rate), motion = new MotionStream(config, network);
  const answer = (frames) => {
    if (sound === mine) postMessage({ id, samples: motion.samples, frames: frames.length ? joined(frames) : null, over: mine.done });
  };
  while (sound === mine && !mine.done) {
    await new Promise((turn) => { setTimeout(turn); });  // the network keeps the thread: what came meanwhile is taken in here
    if (waiting.length) answer(await motion.push(resampler.push(live ? joined(waiting.splice(0)) : waiting.shift())));
    else if (mine.over) {
      mine.done = true;
      answer([...(await motion.push(resampler.finish())), ...(await motion.finish())]);
    } else await new Promise((wake) => { mine.wake = wake; });
  }
}

const failed = (error) => postMessage({ problem: error.message });

// {config, model}, once; {id, rate, live} begins a sound; {id, samples}; {id, over}; any other id ends it.
onmessage = async ({ data }) => {
  if (data.config) {
    try {
      config = data.config;
      network = await Network.load(data.model, config.inputs);
      postMessage({ ready: true });
    } catch (error) { failed(error); }
    return;
  }
  sound?.wake?.();
  if (data.rate) {
    sound = { ...data, waiting: [] };
    animate(sound).catch(failed);
  } else if (sound?.id === data.id) {
    if (data.samples) sound.waiting.push(data.samples);
    sound.over ||= data.over;
  } else sound = null;
};
