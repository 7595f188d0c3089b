"use strict";
// Plays a motion on a face (face.js); the recording is the clock.
(async () => {
  const byId = (id) => document.getElementById(id);
  const config = JSON.parse(byId("config").textContent);
  const fail = (text) => { byId("problem").textContent = text; byId("problem").hidden = false; };
  const decoded = (id) => Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
  const face = await openFace(byId("stage"), config, decoded("arrays"));
  const { arrays: { coefficients }, weights, zoom, front } = face;
  const shapes = config.names.length, frames = coefficients.length / shapes, duration = frames / config.fps;

  function weightsAt(seconds) {
    const at = Math.min(Math.max(seconds * config.fps, 0), frames - 1);
    const one = Math.floor(at), other = Math.min(one + 1, frames - 1), share = at - one;
    for (let k = 0; k < shapes; k++) {
      const value = (1 - share) * coefficients[k * frames + one] + share * coefficients[k * frames + other];
      weights[k] = config.coefficients.low[k] + config.coefficients.step[k] * value;
    }
  }

  // Time: the recording's, or the machine's where there is none

  const sound = config.sound ? new Audio(URL.createObjectURL(new Blob([decoded("speech")], { type: config.sound }))) : null;
  let playing = false, silentPlace = 0, silentSince = 0;
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

  function now() {
    if (sound) return sound.currentTime;
    return playing ? silentPlace + (performance.now() - silentSince) / 1000 : silentPlace;
  }

  function seek(seconds) {
    const place = clamp(seconds, 0, duration - 1e-3);
    if (sound) sound.currentTime = place;
    silentPlace = place;
    silentSince = performance.now();
    face.stale = true;
  }

  async function toggle() {
    if (playing) { stop(); return; }
    if (now() >= duration - 0.5 / config.fps || (sound && sound.ended)) seek(0);
    silentPlace = now();
    silentSince = performance.now();
    playing = true;
    show();
    try { if (sound) await sound.play(); } catch (error) { stop(); fail(`The sound cannot be played: ${error.message}`); }
  }

  function stop() {
    silentPlace = now();
    playing = false;
    if (sound) sound.pause();
    show();
  }

  function show() {
    byId("sign").setAttribute("d", playing ? "M6 4h4v16H6zM14 4h4v16h-4z" : "M7 4v16l13-8z");
    byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
    face.stale = true;
  }

  const clockText = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

  function tick() {
    const seconds = now();
    if (playing && (seconds >= duration || (sound && sound.ended))) stop();
    if (playing || face.stale) {
      weightsAt(seconds);
      face.draw();
      byId("place").value = Math.min(seconds / duration, 1);
      byId("clock").textContent = `${clockText(Math.min(seconds, duration))} / ${clockText(duration)}`;
    }
    requestAnimationFrame(tick);
  }

  byId("play").addEventListener("click", toggle);
  byId("home").addEventListener("click", front);
  byId("place").addEventListener("input", (event) => seek(event.target.value * duration));
  const keys = {
    " ": toggle, k: toggle, "0": front, Home: () => seek(0), End: () => seek(duration),
    ArrowLeft: () => seek(now() - 1 / config.fps), ArrowRight: () => seek(now() + 1 / config.fps),
    ArrowUp: () => zoom(1.1), ArrowDown: () => zoom(1 / 1.1),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !keys[event.key]) return;
    event.preventDefault();  // a button in focus would answer the space bar a second time
    keys[event.key]();
  });
  byId("stage").addEventListener("webglcontextlost", () => fail("The graphics card was reset; load the page again."));

  // page.html#t=4.6 opens at an instant
  const asked = () => { const found = /t=([\d.]+)/.exec(location.hash); if (found) seek(Number(found[1])); };
  window.addEventListener("hashchange", asked);

  face.tapped = toggle;
  asked();
  tick();
  document.body.dataset.ready = "yes";
})().catch((error) => {
  const problem = document.getElementById("problem");
  problem.textContent = `The page cannot be shown: ${error.message}`;
  problem.hidden = false;
});
