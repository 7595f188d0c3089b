// The half of check_characters.py that needs Node: Khronos' validator, Babylon.js, three-vrm, and three.js in a headless Chromium.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";

const asked = JSON.parse(process.argv[2]);
const modules = join(asked.node, "node_modules");
const require = createRequire(join(modules, "x.js"));
const load = (path) => import(pathToFileURL(join(modules, path)));
const PATIENCE = 300000;  // milliseconds: three.js' shaders take their time where a processor stands in for the card
const found = { errors: [] };

async function issues(path) {
  const report = await require("gltf-validator").validateBytes(new Uint8Array(readFileSync(path)), { maxIssues: 1000 });
  return report.issues.messages.filter((each) => each.severity === 0).map((each) => `${each.code} ${each.pointer}`);
}
found.before = await issues(asked.avatar);
found.after = await issues(asked.spoken);

async function babylon() {
  globalThis.XMLHttpRequest ??= class {};
  const { NullEngine, Scene } = await load("@babylonjs/core/index.js");
  await load("@babylonjs/loaders/glTF/index.js");
  const { SceneLoader } = await load("@babylonjs/core/Loading/sceneLoader.js");
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
found.babylon = await babylon();

if (asked.vrma) {
  globalThis.self = globalThis;
  const THREE = await load("three/build/three.module.js");
  const { GLTFLoader } = await load("three/examples/jsm/loaders/GLTFLoader.js");
  const { VRMLoaderPlugin } = await load("@pixiv/three-vrm/lib/three-vrm.module.js");
  const animation = await load("@pixiv/three-vrm-animation/lib/three-vrm-animation.module.js");
  const read = (path, plugin) => new Promise((done, failed) => {
    const data = readFileSync(path);
    const loader = new GLTFLoader();
    loader.register(plugin);
    loader.parse(data.buffer.slice(data.byteOffset, data.byteOffset + data.length), "", done, failed);
  });
  const motion = (await read(asked.vrma, (parser) => new animation.VRMAnimationLoaderPlugin(parser))).userData.vrmAnimations[0];
  const { vrm } = (await read(asked.avatar, (parser) => new VRMLoaderPlugin(parser))).userData;
  const mixer = new THREE.AnimationMixer(vrm.scene);
  mixer.clipAction(animation.createVRMAnimationClip(motion, vrm)).play();
  found.vrma = asked.instants.map((seconds) => {
    mixer.setTime(seconds);
    vrm.update(0);
    return Object.fromEntries(vrm.expressionManager.expressions.map((each) => [each.expressionName, each.weight]));
  });
}

const SCENE = `<!DOCTYPE html><body style="margin:0"><script type="importmap">
{"imports": {"three": "/m/three/build/three.module.js", "three/addons/": "/m/three/examples/jsm/"}}</script><script type="module">
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { MeshoptDecoder } from "three/addons/libs/meshopt_decoder.module.js";
const renderer = new THREE.WebGLRenderer({ antialias: true, preserveDrawingBuffer: true });
renderer.setSize(innerWidth, innerHeight);
document.body.append(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x5c5e62);
scene.add(new THREE.HemisphereLight(0xffffff, 0x888888, 2.2));
const key = new THREE.DirectionalLight(0xfff0e0, 1.6);
key.position.set(-0.5, 0.6, 0.8);
scene.add(key);
const loader = new GLTFLoader();
loader.setMeshoptDecoder(MeshoptDecoder);
const gltf = await loader.loadAsync("/a.glb");
scene.add(gltf.scene);
gltf.scene.updateMatrixWorld(true);
const meshes = [];
let head = null;
gltf.scene.traverse((node) => {
  if (/^(.*[:_])?head$/i.test(node.name)) head ??= node;
  if (node.isMesh) node.frustumCulled = false;
  if (node.isMesh && node.morphTargetInfluences) meshes.push(node);
});
const at = new THREE.Vector3();
if (head) head.getWorldPosition(at);
else new THREE.Box3().setFromObject(gltf.scene).getCenter(at);
const camera = new THREE.PerspectiveCamera(18, innerWidth / innerHeight, 0.05, 100);
camera.position.set(at.x, at.y + 0.08, at.z + ${asked.front} * 1.2);
camera.lookAt(at.x, at.y + 0.06, at.z);
const mixer = new THREE.AnimationMixer(gltf.scene);
const action = mixer.clipAction(gltf.animations.at(-1));
action.play();
window.at = (seconds) => {
  mixer.setTime(seconds);
  renderer.render(scene, camera);
  return meshes.map((mesh) => Array.from(mesh.morphTargetInfluences));
};
document.body.dataset.ready = "yes";
</script>`;
const KINDS = { ".js": "text/javascript", ".glb": "model/gltf-binary" };
const server = createServer((request, answer) => {
  let data = SCENE;
  if (request.url === "/a.glb") data = readFileSync(asked.spoken);
  else if (request.url.startsWith("/m/")) data = readFileSync(join(modules, request.url.slice(3)));
  answer.writeHead(200, { "content-type": KINDS[extname(request.url)] || "text/html" });
  answer.end(data);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const browser = await require("playwright-core").chromium.launch({
  executablePath: asked.chromium,
  args: ["--no-sandbox", "--no-first-run", "--disable-quic", "--disable-background-networking", "--use-gl=angle",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
});
const page = await browser.newPage({ viewport: { width: 500, height: 500 } });
page.on("pageerror", (error) => found.errors.push(error.message));
await page.goto(`http://127.0.0.1:${server.address().port}/`, { timeout: PATIENCE });
await page.waitForFunction(() => document.body.dataset.ready === "yes", null, { timeout: PATIENCE });
found.three = [];
for (const [index, seconds] of asked.instants.entries()) {
  found.three.push(await page.evaluate((instant) => window.at(instant), seconds));
  await page.screenshot({ timeout: PATIENCE, path: `${asked.images}-${index}.png` });
}
await browser.close();
server.close();
console.log(JSON.stringify(found));
process.exit(0);
