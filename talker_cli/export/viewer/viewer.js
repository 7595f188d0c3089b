"use strict";
// Plays a face: sparse shapes added up and normals taken anew on the processor, one draw call, the recording as the clock.
(async () => {
  const byId = (id) => document.getElementById(id);
  const config = JSON.parse(byId("config").textContent);
  const canvas = byId("stage");
  const fail = (text) => { byId("problem").textContent = text; byId("problem").hidden = false; };
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: false });
  if (!gl) { fail("This browser shows no WebGL 2; open the page in a newer one."); return; }
  if (!window.DecompressionStream) { fail("This browser is too old to unpack the page; open it in a newer one."); return; }

  // What Python packed

  const decoded = (id) => Uint8Array.from(atob(byId(id).textContent), (letter) => letter.charCodeAt(0));
  const packed = new Blob([decoded("arrays")]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(packed).arrayBuffer();
  const KINDS = { u1: Uint8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array };
  const arrays = {};
  for (const [name, [kind, offset, length]] of Object.entries(config.arrays)) {
    arrays[name] = new KINDS[kind](buffer, offset, length);
  }
  const count = arrays.template.length / 3;
  const { faces, shape_rows: rows, shape_values: values, curves } = arrays;
  const template = Float32Array.from(arrays.template, (value, i) => config.template.low[i % 3] + config.template.step * value);
  const starts = [0];
  for (const length of config.shapes.counts) starts.push(starts[starts.length - 1] + length);
  const shapes = config.names.length;
  const frames = curves.length / shapes;
  const duration = frames / config.fps;

  // Motion: vertices = template + sum of weights times shapes

  const vertices = new Float32Array(template);
  const normals = new Float32Array(3 * count);
  const weights = new Float32Array(shapes);

  function weightsAt(seconds) {
    const at = Math.min(Math.max(seconds * config.fps, 0), frames - 1);
    const one = Math.floor(at), other = Math.min(one + 1, frames - 1), share = at - one;
    for (let k = 0; k < shapes; k++) {
      const value = (1 - share) * curves[k * frames + one] + share * curves[k * frames + other];
      weights[k] = config.curves.low[k] + config.curves.step[k] * value;
    }
  }

  function pose() {
    vertices.set(template);
    for (let k = 0; k < shapes; k++) {
      const scale = weights[k] * config.shapes.steps[k];
      if (scale === 0) continue;
      for (let i = starts[k], end = starts[k + 1]; i < end; i++) {
        const to = 3 * rows[i], from = 3 * i;
        vertices[to] += scale * values[from];
        vertices[to + 1] += scale * values[from + 1];
        vertices[to + 2] += scale * values[from + 2];
      }
    }
    normals.fill(0);
    for (let i = 0; i < faces.length; i += 3) {
      const a = 3 * faces[i], b = 3 * faces[i + 1], c = 3 * faces[i + 2];
      const ux = vertices[b] - vertices[a], uy = vertices[b + 1] - vertices[a + 1], uz = vertices[b + 2] - vertices[a + 2];
      const vx = vertices[c] - vertices[a], vy = vertices[c + 1] - vertices[a + 1], vz = vertices[c + 2] - vertices[a + 2];
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      normals[a] += x; normals[a + 1] += y; normals[a + 2] += z;
      normals[b] += x; normals[b + 1] += y; normals[b + 2] += z;
      normals[c] += x; normals[c + 1] += y; normals[c + 2] += z;
    }
    for (let i = 0; i < normals.length; i += 3) {  // tiny areas would vanish in the shader's lower precision
      const length = Math.hypot(normals[i], normals[i + 1], normals[i + 2]) || 1;
      normals[i] /= length; normals[i + 1] /= length; normals[i + 2] /= length;
    }
  }

  // Drawing

  function program(vertex, fragment) {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, `#version 300 es\nprecision highp float;\n${text}`);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS) && !gl.isContextLost()) throw new Error(gl.getProgramInfoLog(made));
    return made;
  }

  function attribute(place, data, width, kind, usage) {
    const made = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, made);
    gl.bufferData(gl.ARRAY_BUFFER, data, usage);
    gl.enableVertexAttribArray(place);
    gl.vertexAttribPointer(place, width, kind, kind === gl.UNSIGNED_BYTE, 0, 0);
    return made;
  }

  function refill(made, data) {
    gl.bindBuffer(gl.ARRAY_BUFFER, made);
    gl.bufferSubData(gl.ARRAY_BUFFER, 0, data);
  }

  const FACE_VERTEX = `
layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;
layout(location = 2) in vec4 paint;  // square root of linear reflectance; gloss, 0 skin … 1 wet eye
layout(location = 3) in float sky;  // the share of the sky that the vertex sees
uniform mat4 view;
uniform mat4 projection;
out vec3 at;
out vec3 facing;
out vec4 surface;
out float seen;
void main() {
  vec4 place = view * vec4(position, 1.0);
  at = place.xyz;
  facing = mat3(view) * normal;
  surface = paint;
  seen = sky;
  gl_Position = projection * place;
}`;

  // talker's portrait light: a warm key that wraps round the cheek, a cool fill, two rims, a sky; all in the camera's space.
  const FACE_FRAGMENT = `
in vec3 at;
in vec3 facing;
in vec4 surface;
in float seen;
out vec4 color;
const vec3 KEY_AT = vec3(-0.486, 0.534, 0.692), KEY = vec3(1.25, 1.14, 1.02), WRAP = vec3(0.42, 0.26, 0.19);
const vec3 FILL_AT = vec3(0.853, 0.085, 0.515), FILL = vec3(0.21, 0.24, 0.29);
const vec3 LEFT_AT = vec3(-0.776, 0.352, -0.523), RIGHT_AT = vec3(0.786, 0.336, -0.519), RIM = vec3(0.70, 0.76, 0.84);
const vec3 SKY = vec3(0.30, 0.32, 0.35), GROUND = vec3(0.155, 0.120, 0.105);
void main() {
  vec3 n = normalize(gl_FrontFacing ? facing : -facing);
  vec3 eye = normalize(-at);
  vec3 albedo = surface.rgb * surface.rgb;
  float gloss = surface.a, wet = gloss * gloss;
  float key = dot(n, KEY_AT);
  vec3 wrapped = max((key + WRAP) / (1.0 + WRAP), 0.0);
  float sky = mix(seen, 1.0, 0.5 * wet);
  vec3 hidden = mix(vec3(sky), vec3(1.0), vec3(0.14, 0.03, 0.02)) * sky;
  vec3 light = KEY * wrapped * wrapped * (0.62 + 0.38 * wrapped) * (0.35 + 0.65 * min(sky * 1.35, 1.0));
  light += FILL * max(dot(n, FILL_AT) * 0.75 + 0.25, 0.0) * hidden;
  light += mix(GROUND, SKY, n.y * 0.5 + 0.5) * hidden;
  float away = 1.0 - max(dot(n, eye), 0.0), edge = away * away * away;
  float rims = max(dot(n, LEFT_AT), 0.0) + max(dot(n, RIGHT_AT), 0.0);
  float glint = pow(max(dot(n, normalize(KEY_AT + eye)), 0.0), mix(16.0, 420.0, wet)) * step(0.0, key);
  vec3 sheen = KEY * glint * mix(0.055, 1.0, gloss) + RIM * rims * (0.10 + 0.9 * edge) * mix(0.55, 0.9, gloss);
  sheen += SKY * (0.04 + 0.5 * edge * away * away) * max(n.y, 0.0) * mix(0.3, 1.0, gloss);
  vec3 sum = albedo * light + sheen * sky * sky * (0.35 + 0.65 * dot(albedo, vec3(0.6)));
  sum *= gl_FrontFacing ? 1.0 : 0.45;
  sum *= (1.0 + 0.16 * sum) / (1.0 + 0.40 * sum);
  color = vec4(sqrt(min(sum * 1.10, 1.0)), 1.0);
}`;

  const face = program(FACE_VERTEX, FACE_FRAGMENT);
  gl.bindVertexArray(gl.createVertexArray());
  const vertexBuffer = attribute(0, vertices, 3, gl.FLOAT, gl.DYNAMIC_DRAW);
  const normalBuffer = attribute(1, normals, 3, gl.FLOAT, gl.DYNAMIC_DRAW);
  attribute(2, arrays.paint, 4, gl.UNSIGNED_BYTE, gl.STATIC_DRAW);
  const skyBuffer = attribute(3, new Float32Array(count).fill(1), 1, gl.FLOAT, gl.STATIC_DRAW);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  const faceKind = faces instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
  gl.enable(gl.DEPTH_TEST);

  // Soft shadow: the head is looked at from many sides once, its mouth open; what a side hides sees no sky there.

  function skySeen() {
    const SIDES = 48, PIXELS = 256, LIFT = 0.004;
    config.names.forEach((name, k) => { weights[k] = config.open[name] || 0; });
    pose();
    refill(vertexBuffer, vertices);
    const center = [0, 1, 2].map((axis) => config.bounds.low[axis] / 2 + config.bounds.high[axis] / 2);
    const radius = 1.05 * Math.hypot(...center.map((middle, axis) => config.bounds.high[axis] - middle));
    const depth = program(`
layout(location = 0) in vec3 position;
uniform mat3 turn;
uniform vec3 center;
uniform float radius;
void main() { gl_Position = vec4(turn * (position - center) / radius * vec3(1, 1, -1), 1.0); }`, `
out vec4 color;
void main() {
  float d = gl_FragCoord.z;
  color = vec4(d, fract(d * 255.0), fract(d * 65025.0), 1.0);
  color.xy -= color.yz / 255.0;
}`);
    gl.useProgram(depth);
    const target = gl.createFramebuffer(), texture = gl.createTexture(), deep = gl.createRenderbuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, target);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, PIXELS, PIXELS);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    gl.bindRenderbuffer(gl.RENDERBUFFER, deep);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT24, PIXELS, PIXELS);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, deep);
    gl.viewport(0, 0, PIXELS, PIXELS);
    gl.clearColor(1, 1, 1, 1);
    gl.uniform3fv(gl.getUniformLocation(depth, "center"), center);
    gl.uniform1f(gl.getUniformLocation(depth, "radius"), radius);
    const picture = new Uint8Array(4 * PIXELS * PIXELS);
    const sums = new Float32Array(count), totals = new Float32Array(count).fill(1e-6);
    for (let side = 0; side < SIDES; side++) {
      const y = 1 - (2 * side + 1) / SIDES, ring = Math.sqrt(1 - y * y), turn = Math.PI * (1 + Math.sqrt(5)) * (side + 0.5);
      const to = [ring * Math.cos(turn), y, ring * Math.sin(turn)];
      const right = unit(cross(Math.abs(y) < 0.9 ? [0, 1, 0] : [1, 0, 0], to)), up = cross(to, right);
      const matrix = [0, 1, 2].flatMap((axis) => [right[axis], up[axis], to[axis]]);
      gl.uniformMatrix3fv(gl.getUniformLocation(depth, "turn"), false, matrix);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.drawElements(gl.TRIANGLES, faces.length, faceKind, 0);
      gl.readPixels(0, 0, PIXELS, PIXELS, gl.RGBA, gl.UNSIGNED_BYTE, picture);
      for (let v = 0; v < count; v++) {
        const i = 3 * v;
        const cosine = normals[i] * to[0] + normals[i + 1] * to[1] + normals[i + 2] * to[2];
        if (cosine <= 0) continue;
        const x = vertices[i] - center[0] + LIFT * radius * normals[i];
        const h = vertices[i + 1] - center[1] + LIFT * radius * normals[i + 1];
        const z = vertices[i + 2] - center[2] + LIFT * radius * normals[i + 2];
        const place = (axis) => (x * axis[0] + h * axis[1] + z * axis[2]) / radius * 0.5 + 0.5;
        const column = Math.min(PIXELS - 1, Math.max(0, Math.floor(place(right) * PIXELS)));
        const row = Math.min(PIXELS - 1, Math.max(0, Math.floor(place(up) * PIXELS)));
        const p = 4 * (row * PIXELS + column);
        const nearest = picture[p] / 255 + picture[p + 1] / 65025 + picture[p + 2] / 16581375;
        totals[v] += cosine;
        if (1 - place(to) <= nearest) sums[v] += cosine;
      }
    }
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.deleteFramebuffer(target); gl.deleteTexture(texture); gl.deleteRenderbuffer(deep); gl.deleteProgram(depth);
    let sky = sums.map((sum, v) => sum / totals[v]);
    for (let pass = 0; pass < 2; pass++) {
      const next = new Float32Array(count), met = new Float32Array(count);
      for (let i = 0; i < faces.length; i += 3) {
        const mean = (sky[faces[i]] + sky[faces[i + 1]] + sky[faces[i + 2]]) / 3;
        for (let corner = i; corner < i + 3; corner++) { next[faces[corner]] += mean; met[faces[corner]] += 1; }
      }
      sky = next.map((sum, v) => (met[v] ? sum / met[v] : sky[v]));
    }
    refill(skyBuffer, sky);
  }

  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => { const length = Math.hypot(...a); return a.map((value) => value / length); };

  // The camera: a portrait lens that turns about the head

  const FIELD = Math.tan((18 * Math.PI) / 360);
  const FRONT = { yaw: 0, pitch: 0, zoom: 1 };
  const camera = { ...FRONT };

  function cameraMatrices() {
    const aspect = canvas.width / canvas.height;
    const { center, width, height, depth } = config.portrait;
    const distance = (Math.max(height / FIELD, width / FIELD / aspect) + depth) / camera.zoom;
    const [sy, cy, sp, cp] = [Math.sin(camera.yaw), Math.cos(camera.yaw), Math.sin(camera.pitch), Math.cos(camera.pitch)];
    const right = [cy, 0, -sy], up = [-sy * sp, cp, -cy * sp], back = [sy * cp, sp, cy * cp];
    const eye = center.map((middle, axis) => middle + distance * back[axis]);
    const dot = (axis) => -(axis[0] * eye[0] + axis[1] * eye[1] + axis[2] * eye[2]);
    const size = Math.hypot(...[0, 1, 2].map((axis) => config.bounds.high[axis] - config.bounds.low[axis]));
    const near = Math.max(0.02 * distance, distance - size), far = distance + size;
    return {
      view: [right[0], up[0], back[0], 0, right[1], up[1], back[1], 0, right[2], up[2], back[2], 0,
        dot(right), dot(up), dot(back), 1],
      projection: [1 / FIELD / aspect, 0, 0, 0, 0, 1 / FIELD, 0, 0, 0, 0, (far + near) / (near - far), -1,
        0, 0, (2 * far * near) / (near - far), 0],
    };
  }

  const uniforms = { view: gl.getUniformLocation(face, "view"), projection: gl.getUniformLocation(face, "projection") };

  function draw(seconds) {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    weightsAt(seconds);
    pose();
    refill(vertexBuffer, vertices);
    refill(normalBuffer, normals);
    gl.useProgram(face);
    const matrices = cameraMatrices();
    gl.uniformMatrix4fv(uniforms.view, false, matrices.view);
    gl.uniformMatrix4fv(uniforms.projection, false, matrices.projection);
    gl.viewport(0, 0, width, height);
    gl.clearColor(0.235, 0.245, 0.26, 1);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.drawElements(gl.TRIANGLES, faces.length, faceKind, 0);
  }

  // Time: the recording's, or the machine's where there is none

  const sound = config.sound ? new Audio(URL.createObjectURL(new Blob([decoded("speech")], { type: config.sound }))) : null;
  let playing = false, silentPlace = 0, silentSince = 0, stale = true;
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
    stale = true;
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
    stale = true;
  }

  const clockText = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;

  function tick() {
    const seconds = now();
    if (playing && (seconds >= duration || (sound && sound.ended))) stop();
    if (playing || stale) {
      stale = false;
      draw(seconds);
      byId("place").value = Math.min(seconds / duration, 1);
      byId("clock").textContent = `${clockText(Math.min(seconds, duration))} / ${clockText(duration)}`;
    }
    requestAnimationFrame(tick);
  }

  // Hands

  const fingers = new Map();
  let travelled = 0;
  const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
  const zoom = (factor) => { camera.zoom = clamp(camera.zoom * factor, 0.4, 6); stale = true; };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    if (fingers.size === 0) travelled = 0;
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  });
  canvas.addEventListener("pointermove", (event) => {
    const finger = fingers.get(event.pointerId);
    if (!finger) return;
    const before = fingers.size === 2 ? spread() : 0;
    const dx = event.clientX - finger.x, dy = event.clientY - finger.y;
    finger.x = event.clientX;
    finger.y = event.clientY;
    travelled += Math.abs(dx) + Math.abs(dy);
    if (fingers.size === 2) { zoom(spread() / Math.max(before, 1)); return; }
    camera.yaw -= dx * 0.006;
    camera.pitch = clamp(camera.pitch + dy * 0.006, -1.2, 1.2);
    stale = true;
  });
  const lift = (event) => {
    if (fingers.delete(event.pointerId) && fingers.size === 0 && event.type === "pointerup" && travelled < 5) toggle();
    if (fingers.size > 0) travelled = 99;  // a pinch is no click
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);
  canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY * 0.0012)); }, { passive: false });
  const front = () => { Object.assign(camera, FRONT); stale = true; };
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
  window.addEventListener("resize", () => { stale = true; });
  canvas.addEventListener("webglcontextlost", () => fail("The graphics card was reset; load the page again."));

  // page.html#t=4.6 opens at an instant
  const asked = () => { const found = /t=([\d.]+)/.exec(location.hash); if (found) seek(Number(found[1])); };
  window.addEventListener("hashchange", asked);

  skySeen();
  asked();
  tick();
  document.body.dataset.ready = "yes";
})().catch((error) => {
  const problem = document.getElementById("problem");
  problem.textContent = `The page cannot be shown: ${error.message}`;
  problem.hidden = false;
});
