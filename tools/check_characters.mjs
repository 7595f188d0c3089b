// The half of check_characters.py that needs Node: Khronos' validator, Babylon.js, three.js and three-vrm; pictures by a Chromium.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";

const asked = JSON.parse(process.argv[2]);
const modules = join(asked.node, "node_modules");
const require = createRequire(join(modules, "x.js"));
const load = (path) => import(pathToFileURL(join(modules, path)));
const LIBRARIES = "three/examples/jsm/libs";
const PATIENCE = 300000;  // milliseconds: three.js' shaders take their time where a processor stands in for the card
const found = { errors: [] };

async function issues(path) {
  const report = await require("gltf-validator").validateBytes(new Uint8Array(readFileSync(path)), { maxIssues: 0 });
  const counts = {};
  for (const { severity, code, pointer } of report.issues.messages) {
    if (severity < 2) counts[`${code} ${pointer}`] = severity;
  }
  return counts;
}
found.before = await issues(asked.avatar);
found.after = await issues(asked.spoken);

async function babylon() {
  globalThis.XMLHttpRequest ??= class {};
  const { NullEngine, Scene, MeshoptCompression, DracoDecoder } = await load("@babylonjs/core/index.js");
  await load("@babylonjs/loaders/glTF/index.js");
  const { SceneLoader } = await load("@babylonjs/core/Loading/sceneLoader.js");
  // Babylon.js fetches its decoders from the network; three.js ships the same ones.
  const { MeshoptDecoder } = await load(`${LIBRARIES}/meshopt_decoder.module.js`);
  MeshoptCompression._Default = {
    async decodeGltfBufferAsync(source, count, stride, mode, filter) {
      await MeshoptDecoder.ready;
      const result = new Uint8Array(count * stride);
      MeshoptDecoder.decodeGltfBuffer(result, count, stride, source, mode, filter);
      return result;
    },
  };
  const draco = join(modules, LIBRARIES, "draco/gltf");
  const script = `${readFileSync(join(draco, "draco_wasm_wrapper.js"))}; return DracoDecoderModule;`;
  DracoDecoder.DefaultConfiguration = {
    ...DracoDecoder.DefaultConfiguration, numWorkers: 0, wasmBinary: readFileSync(join(draco, "draco_decoder.wasm")),
    jsModule: new Function("require", "__dirname", script)(require, draco),
  };
  const scene = new Scene(new NullEngine());
  const data = readFileSync(asked.plain).toString("base64");
  const { meshes } = await SceneLoader.ImportMeshAsync("", "", `data:application/octet-stream;base64,${data}`, scene, null, ".glb");
  const group = scene.animationGroups.at(-1);
  return asked.instants.map((seconds) => {
    group.start(false);
    group.goToFrame(seconds * 60);
    group.pause();
    const managers = meshes.map((mesh) => mesh.morphTargetManager).filter(Boolean);
    return [...new Set(managers)].map((each) => Array.from({ length: each.numTargets }, (_, k) => each.getTarget(k).influence));
  });
}
found.babylon = await babylon().catch((error) => { throw new Error(error.message.slice(-300)); });  // it begins with the file

async function three() {
  globalThis.self = globalThis;
  globalThis.createImageBitmap = async () => ({ width: 1, height: 1, close() {} });  // no screen, no pictures
  const THREE = await load("three/build/three.module.js");
  const { GLTFLoader } = await load("three/examples/jsm/loaders/GLTFLoader.js");
  const { MeshoptDecoder } = await load(`${LIBRARIES}/meshopt_decoder.module.js`);
  const { VRMLoaderPlugin } = await load("@pixiv/three-vrm/lib/three-vrm.module.js");
  const { VRMAnimationLoaderPlugin, createVRMAnimationClip } =
    await load("@pixiv/three-vrm-animation/lib/three-vrm-animation.module.js");
  const read = (path, plugin) => new Promise((done, failed) => {
    const data = readFileSync(path);
    const loader = new GLTFLoader().setMeshoptDecoder(MeshoptDecoder);
    loader.setKTX2Loader({ load: (address, loaded) => loaded(new THREE.Texture()) });
    loader.register(plugin);
    loader.parse(data.buffer.slice(data.byteOffset, data.byteOffset + data.length), "", done, failed);
  });
  const character = (path) => read(path, (parser) => new VRMLoaderPlugin(parser));
  const gltf = await character(asked.spoken);
  const mixer = new THREE.AnimationMixer(gltf.scene);
  mixer.clipAction(gltf.animations.at(-1)).play();
  found.three = asked.instants.map((seconds) => {
    mixer.setTime(seconds);
    const rows = [];
    gltf.scene.traverse((node) => { if (node.morphTargetInfluences) rows.push(Array.from(node.morphTargetInfluences)); });
    return rows;
  });
  if (!asked.vrma) return;
  const motion = (await read(asked.vrma, (parser) => new VRMAnimationLoaderPlugin(parser))).userData.vrmAnimations[0];
  const { vrm } = (await character(asked.avatar)).userData;
  const player = new THREE.AnimationMixer(vrm.scene);
  player.clipAction(createVRMAnimationClip(motion, vrm)).play();
  found.vrma = asked.instants.map((seconds) => {
    player.setTime(seconds);
    vrm.update(0);
    return Object.fromEntries(vrm.expressionManager.expressions.map((each) => [each.expressionName, each.weight]));
  });
}
if (!asked.draco) await three();  // its decoder needs a browser
if (asked.images) await pictures();
process.stdout.write(JSON.stringify(found) + "\n", () => process.exit(0));  // a pipe takes 64 KiB at a time

async function pictures() {
  const SCENE = `<!DOCTYPE html><body style="margin:0"><script type="importmap">
{"imports": {"three": "/m/three/build/three.module.js", "three/addons/": "/m/three/examples/jsm/",
 "@pixiv/three-vrm": "/m/@pixiv/three-vrm/lib/three-vrm.module.js"}}</script><script type="module">
import * as THREE from "three";
import { DRACOLoader } from "three/addons/loaders/DRACOLoader.js";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { KTX2Loader } from "three/addons/loaders/KTX2Loader.js";
import { MeshoptDecoder } from "three/addons/libs/meshopt_decoder.module.js";
import { VRMLoaderPlugin } from "@pixiv/three-vrm";
const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
renderer.setSize(innerWidth, innerHeight);
document.body.append(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x5c5e62);
scene.add(new THREE.HemisphereLight(0xffffff, 0x888888, 2.2));
const key = new THREE.DirectionalLight(0xfff0e0, 1.6);
key.position.set(-0.5, 0.6, 0.8 * ${asked.front});
scene.add(key);
const draco = new DRACOLoader().setDecoderPath("/m/${LIBRARIES}/draco/gltf/");
const ktx2 = new KTX2Loader().setTranscoderPath("/m/${LIBRARIES}/basis/").detectSupport(renderer);
const loader = new GLTFLoader().setMeshoptDecoder(MeshoptDecoder).setDRACOLoader(draco).setKTX2Loader(ktx2);
loader.register((parser) => new VRMLoaderPlugin(parser));
const gltf = await loader.loadAsync("/spoken");
scene.add(gltf.scene);
const meshes = [];
gltf.scene.traverse((node) => {
  if (node.isMesh) node.frustumCulled = false;
  if (node.isMesh && node.morphTargetInfluences) meshes.push(node);
});
const mixer = new THREE.AnimationMixer(gltf.scene);
mixer.clipAction(gltf.animations.at(-1)).play();
const camera = new THREE.PerspectiveCamera(18, innerWidth / innerHeight, 0.01, 1000);
const set = (seconds) => {
  mixer.setTime(seconds);
  gltf.scene.updateMatrixWorld(true);
  return meshes.map((mesh) => Array.from(mesh.morphTargetInfluences));
};
window.frame = (instants) => {  // the camera sees what moves
  const box = new THREE.Box3(), rest = new THREE.Vector3(), moved = new THREE.Vector3();
  for (const seconds of instants) {
    const weights = set(seconds);
    meshes.forEach((mesh, number) => {
      for (let at = 0; at < mesh.geometry.attributes.position.count; at += 3) {
        mesh.morphTargetInfluences.fill(0);
        mesh.getVertexPosition(at, rest);
        weights[number].forEach((weight, k) => { mesh.morphTargetInfluences[k] = weight; });
        mesh.getVertexPosition(at, moved);
        if (rest.distanceTo(moved) > 1e-4 * mesh.geometry.boundingSphere.radius) box.expandByPoint(mesh.localToWorld(rest));
      }
    });
  }
  const middle = box.getCenter(new THREE.Vector3()), size = box.getSize(moved).length();
  camera.position.copy(middle).z += ${asked.front} * size * 4.5;
  camera.lookAt(middle);
};
window.at = (seconds) => {
  const weights = set(seconds);
  renderer.render(scene, camera);
  return weights;
};
document.body.dataset.ready = "yes";
</script>`;
  const KINDS = { ".js": "text/javascript", ".wasm": "application/wasm" };
  const server = createServer((request, answer) => {
    let data = SCENE;
    if (request.url === "/spoken") data = readFileSync(asked.spoken);
    else if (request.url.startsWith("/m/")) data = readFileSync(join(modules, request.url.slice(3)));
    answer.writeHead(200, { "content-type": KINDS[extname(request.url)] || "text/html" });
    answer.end(data);
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const browser = await require("playwright-core").chromium.launch({
    executablePath: asked.chromium, timeout: PATIENCE,
    args: ["--no-sandbox", "--no-first-run", "--disable-quic", "--disable-background-networking", "--use-gl=angle",
      "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
  });
  const page = await browser.newPage({ viewport: { width: 500, height: 500 } });
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => found.errors.push(error.message));
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => document.body.dataset.ready === "yes");
  await page.evaluate((instants) => window.frame(instants), asked.instants);
  found.three = [];
  for (const [index, seconds] of asked.instants.entries()) {
    found.three.push(await page.evaluate((instant) => window.at(instant), seconds));
    await page.screenshot({ timeout: PATIENCE, path: `${asked.images}-${index}.png` });
}
  await browser.close();
  server.close();
}
