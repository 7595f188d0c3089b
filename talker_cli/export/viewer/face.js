"use strict";
// Draws a face in the light of talker's videos: sparse shapes are added up and normals taken anew on the processor, one draw
// call shows them. Drag, wheel and fingers turn it and come closer. Who opens it sets `weights`, and calls `draw` where
// something changed or `stale` says that the view did.
async function openFace(canvas, config, packed) {
  const gl = canvas.getContext("webgl2", { antialias: true, alpha: false });
  if (!gl) throw new Error("this browser shows no WebGL 2; open it in a newer one");
  if (!window.DecompressionStream) throw new Error("this browser is too old to unpack it; open it in a newer one");

  // What Python packed

  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(unpacked).arrayBuffer();
  const KINDS = { u1: Uint8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array };
  const arrays = {};
  for (const [name, [kind, offset, length]] of Object.entries(config.arrays)) {
    arrays[name] = new KINDS[kind](buffer, offset, length);
  }
  const count = arrays.template.length / 3;
  const { faces, shape_rows: rows, shape_values: values } = arrays;
  const template = Float32Array.from(arrays.template, (value, i) => config.template.low[i % 3] + config.template.step * value);
  const starts = [0];
  for (const length of config.shapes.counts) starts.push(starts[starts.length - 1] + length);
  const shapes = config.names.length;

  // Motion: vertices = template + sum of weights times shapes, turned about the neck

  const vertices = new Float32Array(template);
  const normals = new Float32Array(3 * count);
  const weights = new Float32Array(shapes);

  // Pitch, yaw and roll about the base of the skull; the neck takes a share of the turn.
  function turnHead() {
    const [pitch, yaw, roll] = weights.subarray(config.neck.first);
    const [px, py, pz] = config.neck.pivot;
    const [sp, sy, sr, cp, cy, cr] = [...[pitch, yaw, roll].map(Math.sin), ...[pitch, yaw, roll].map(Math.cos)];
    const turn = [
      cy * cr + sy * sp * sr - 1, sy * sp * cr - cy * sr, sy * cp,
      cp * sr, cp * cr - 1, -sp,
      cy * sp * sr - sy * cr, sy * sr + cy * sp * cr, cy * cp - 1,
    ];
    for (let v = 0, i = 0; v < count; v++, i += 3) {
      const share = arrays.neck[v] / 65535;
      const x = vertices[i] - px, y = vertices[i + 1] - py, z = vertices[i + 2] - pz;
      for (let axis = 0; axis < 3; axis++) {
        vertices[i + axis] += share * (turn[3 * axis] * x + turn[3 * axis + 1] * y + turn[3 * axis + 2] * z);
      }
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
    if (config.neck) turnHead();
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
      gl.shaderSource(shader, config.light.header + text);
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

  const face = program(...config.light.face);
  const ground = program(...config.light.ground);
  const wall = gl.createVertexArray();
  gl.bindVertexArray(wall);
  attribute(0, new Float32Array([-1, -1, 0, 3, -1, 0, -1, 3, 0]), 3, gl.FLOAT, gl.STATIC_DRAW);
  const figure = gl.createVertexArray();
  gl.bindVertexArray(figure);
  const vertexBuffer = attribute(0, vertices, 3, gl.FLOAT, gl.DYNAMIC_DRAW);
  const normalBuffer = attribute(1, normals, 3, gl.FLOAT, gl.DYNAMIC_DRAW);
  const inside = new Float32Array(4 * count);  // sky seen, key seen, how far light wanders inside, broad shine
  for (let v = 0; v < count; v++) {
    inside[4 * v + 2] = arrays.skin[2 * v] / 255;
    inside[4 * v + 3] = arrays.skin[2 * v + 1] / 127.5;
  }
  const insideBuffer = attribute(2, inside, 4, gl.FLOAT, gl.DYNAMIC_DRAW);
  attribute(3, arrays.paint, 4, gl.UNSIGNED_BYTE, gl.STATIC_DRAW);
  gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
  gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, faces, gl.STATIC_DRAW);
  const faceKind = faces instanceof Uint32Array ? gl.UNSIGNED_INT : gl.UNSIGNED_SHORT;
  gl.enable(gl.DEPTH_TEST);
  if (config.closed) gl.enable(gl.CULL_FACE);  // nothing is ever seen from behind

  // Soft shadow: the head is looked at from many sides once, its mouth open; what a side hides gets no light from there.

  const { sides, pixels, lift, horizon, softness, key } = config.light;
  const directions = Array.from({ length: sides }, (_, side) => {
    const y = 1 - (2 * side + 1) / sides, ring = Math.sqrt(1 - y * y), turn = Math.PI * (1 + Math.sqrt(5)) * (side + 0.5);
    return [ring * Math.cos(turn), y, ring * Math.sin(turn)];
  });
  const cosines = new Float32Array(sides * count);
  const seen = new Uint8Array(sides * count);

  function lookAround() {
    config.names.forEach((name, k) => { weights[k] = config.open[name] || 0; });
    pose();
    refill(vertexBuffer, vertices);
    const center = [0, 1, 2].map((axis) => (config.bounds.low[axis] + config.bounds.high[axis]) / 2);
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
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA8, pixels, pixels);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
    gl.bindRenderbuffer(gl.RENDERBUFFER, deep);
    gl.renderbufferStorage(gl.RENDERBUFFER, gl.DEPTH_COMPONENT24, pixels, pixels);
    gl.framebufferRenderbuffer(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.RENDERBUFFER, deep);
    gl.viewport(0, 0, pixels, pixels);
    gl.clearColor(1, 1, 1, 1);
    gl.uniform3fv(gl.getUniformLocation(depth, "center"), center);
    gl.uniform1f(gl.getUniformLocation(depth, "radius"), radius);
    const picture = new Uint8Array(4 * pixels * pixels);
    directions.forEach((to, side) => {
      const right = unit(cross(Math.abs(to[1]) < 0.9 ? [0, 1, 0] : [1, 0, 0], to)), up = cross(to, right);
      const matrix = [0, 1, 2].flatMap((axis) => [right[axis], up[axis], to[axis]]);
      gl.uniformMatrix3fv(gl.getUniformLocation(depth, "turn"), false, matrix);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.drawElements(gl.TRIANGLES, faces.length, faceKind, 0);
      gl.readPixels(0, 0, pixels, pixels, gl.RGBA, gl.UNSIGNED_BYTE, picture);
      const cell = (value) => Math.min(pixels - 1, Math.max(0, Math.floor((value / radius + 1) / 2 * pixels)));
      for (let v = 0; v < count; v++) {
        const i = 3 * v, nx = normals[i], ny = normals[i + 1], nz = normals[i + 2];
        const x = vertices[i] - center[0] + lift * radius * nx;
        const y = vertices[i + 1] - center[1] + lift * radius * ny;
        const z = vertices[i + 2] - center[2] + lift * radius * nz;
        const p = 4 * (cell(x * up[0] + y * up[1] + z * up[2]) * pixels + cell(x * right[0] + y * right[1] + z * right[2]));
        const nearest = picture[p] / 255 + picture[p + 1] / 65025 + picture[p + 2] / 16581375;
        cosines[v * sides + side] = nx * to[0] + ny * to[1] + nz * to[2];
        seen[v * sides + side] = Number((1 - (x * to[0] + y * to[1] + z * to[2]) / radius) / 2 <= nearest);
      }
    });
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.deleteFramebuffer(target);
    gl.deleteTexture(texture);
    gl.deleteRenderbuffer(deep);
    gl.deleteProgram(depth);
    weights.fill(0);
  }

  // Into one of the four numbers of `inside`: the share that each vertex sees of a light, by its sides' weights.
  function lightSeen(place, weigh, unknown) {
    let share = new Float32Array(count);
    for (let v = 0; v < count; v++) {
      let sum = 0, total = 0;
      for (let side = 0; side < sides; side++) {
        const weight = weigh(side, cosines[v * sides + side]);
        total += weight;
        sum += weight * seen[v * sides + side];
      }
      share[v] = total > 1e-3 ? sum / total : unknown;
    }
    for (let pass = 0; pass < 2; pass++) {  // against the noise of few directions
      const sums = new Float32Array(count), met = new Float32Array(count);
      for (let i = 0; i < faces.length; i += 3) {
        const mean = (share[faces[i]] + share[faces[i + 1]] + share[faces[i + 2]]) / 3;
        for (let corner = i; corner < i + 3; corner++) { sums[faces[corner]] += mean; met[faces[corner]] += 1; }
      }
      share = share.map((value, v) => (met[v] ? sums[v] / met[v] : value));
    }
    for (let v = 0; v < count; v++) inside[4 * v + place] = share[v];
  }

  // The key light stands beside the camera, so its shadows wander as the camera does.
  function lightKey(right, up, back) {
    const towards = [0, 1, 2].map((axis) => key[0] * right[axis] + key[1] * up[axis] + key[2] * back[axis]);
    const cosine = (to) => to[0] * towards[0] + to[1] * towards[1] + to[2] * towards[2];
    const lobe = directions.map((to) => Math.exp(softness * (cosine(to) - 1)));
    lightSeen(1, (side, facing) => (facing > horizon ? lobe[side] : 0), 1);
    refill(insideBuffer, inside);
  }

  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const unit = (a) => { const length = Math.hypot(...a); return a.map((value) => value / length); };

  // The camera: a portrait lens that turns about the head

  const FIELD = Math.tan((18 * Math.PI) / 360);
  const FRONT = { yaw: 0, pitch: 0, zoom: 1 };
  const camera = { ...FRONT };
  let lit = "";  // the view that the key's shadows were made for

  function cameraMatrices() {
    const aspect = canvas.width / canvas.height;
    const { center, width, height, depth } = config.portrait;
    const distance = (Math.max(height / FIELD, width / FIELD / aspect) + depth) / camera.zoom;
    const [sy, cy, sp, cp] = [Math.sin(camera.yaw), Math.cos(camera.yaw), Math.sin(camera.pitch), Math.cos(camera.pitch)];
    const right = [cy, 0, -sy], up = [-sy * sp, cp, -cy * sp], back = [sy * cp, sp, cy * cp];
    const view = `${Math.round(camera.yaw * 30)} ${Math.round(camera.pitch * 30)}`;  // steps of two degrees, which nobody sees
    if (view !== lit) { lit = view; lightKey(right, up, back); }
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

  const uniforms = { view: gl.getUniformLocation(face, "V"), projection: gl.getUniformLocation(face, "P") };

  function draw() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    shown.stale = false;
    pose();
    refill(vertexBuffer, vertices);
    refill(normalBuffer, normals);
    const matrices = cameraMatrices();
    gl.viewport(0, 0, width, height);
    gl.clear(gl.DEPTH_BUFFER_BIT);
    gl.useProgram(ground);
    gl.bindVertexArray(wall);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    gl.useProgram(face);
    gl.bindVertexArray(figure);
    gl.uniformMatrix4fv(uniforms.view, false, matrices.view);
    gl.uniformMatrix4fv(uniforms.projection, false, matrices.projection);
    gl.drawElements(gl.TRIANGLES, faces.length, faceKind, 0);
  }

  // Hands

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const fingers = new Map();
  let travelled = 0;
  const spread = () => { const [a, b] = [...fingers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
  const zoom = (factor) => { camera.zoom = clamp(camera.zoom * factor, 0.4, 6); shown.stale = true; };
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
    shown.stale = true;
  });
  const release = (event) => {
    if (fingers.delete(event.pointerId) && fingers.size === 0 && event.type === "pointerup" && travelled < 5) shown.tapped();
    if (fingers.size > 0) travelled = 99;  // a pinch is no click
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY * 0.0012));
  }, { passive: false });
  window.addEventListener("resize", () => { shown.stale = true; });

  lookAround();
  lightSeen(0, (_, facing) => Math.max(facing, 0), 0);
  const front = () => { Object.assign(camera, FRONT); shown.stale = true; };
  const shown = { arrays, weights, draw, front, zoom, stale: true, tapped: () => {} };
  return shown;
}
