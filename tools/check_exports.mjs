// The half of check_exports.py that needs Node: Khronos' validator, three.js and the page, in a headless Chromium.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { extname, join } from "node:path";

const asked = JSON.parse(process.argv[2]);
const require = createRequire(join(asked.node, "node_modules", "x.js"));
const PATIENCE = 300000;  // milliseconds: three.js' shaders take their time where a processor stands in for the card
const found = { errors: [], requests: [] };

const report = await require("gltf-validator").validateBytes(new Uint8Array(readFileSync(asked.glb)));
const { numErrors, numWarnings, numInfos, numHints } = report.issues;
found.issues = [numErrors, numWarnings, numInfos, numHints];

const SCENE = `<!DOCTYPE html><body style="margin:0"><script type="importmap">
{"imports": {"three": "/three/build/three.module.js", "three/addons/": "/three/examples/jsm/"}}</script><script type="module">
import * as THREE from "three";
import { GLTFLoader } from "three/addons/loaders/GLTFLoader.js";
import { RoomEnvironment } from "three/addons/environments/RoomEnvironment.js";
const renderer = new THREE.WebGLRenderer({ antialias: true });
renderer.setSize(innerWidth, innerHeight);
document.body.append(renderer.domElement);
const scene = new THREE.Scene();
scene.background = new THREE.Color(0x3c3e42);
scene.environment = new THREE.PMREMGenerator(renderer).fromScene(new RoomEnvironment(), 0.04).texture;
scene.environmentIntensity = 0.35;
const key = new THREE.DirectionalLight(0xfff0e0, 1.6);
key.position.set(-0.5, 0.6, 0.8);
scene.add(key);
const camera = new THREE.PerspectiveCamera(18, innerWidth / innerHeight, 0.05, 10);
camera.position.set(0.15, 0.0, 1.0);
camera.lookAt(0, -0.01, 0);
const gltf = await new GLTFLoader().loadAsync("/head.glb");
scene.add(gltf.scene);
const mixer = new THREE.AnimationMixer(gltf.scene);
mixer.clipAction(gltf.animations[0]).play();
window.at = (seconds) => {
  mixer.setTime(seconds);
  renderer.render(scene, camera);
  let mesh;
  gltf.scene.traverse((node) => { if (node.isMesh) mesh = node; });
  return mesh.morphTargetInfluences[mesh.morphTargetDictionary.jawOpen];
};
document.body.dataset.ready = "yes";
</script>`;
const KINDS = { ".js": "text/javascript", ".glb": "model/gltf-binary" };
const server = createServer((request, answer) => {
  const kind = KINDS[extname(request.url)] || "text/html";
  let data = SCENE;
  if (request.url === "/head.glb") data = readFileSync(asked.glb);
  else if (request.url.startsWith("/three/")) data = readFileSync(join(asked.node, "node_modules", request.url));
  answer.writeHead(200, { "content-type": kind });
  answer.end(data);
});
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));

const browser = await require("playwright-core").chromium.launch({
  executablePath: asked.chromium,
  args: ["--no-sandbox", "--no-first-run", "--disable-quic", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist"],
});

async function open(address, size, watched) {
  const page = await browser.newPage({ viewport: { width: size[0], height: size[1] } });
  if (watched) {
    page.on("console", (message) => { if (message.type() === "error") found.errors.push(message.text()); });
    page.on("request", (request) => { if (!/^(file|blob|data):/.test(request.url())) found.requests.push(request.url()); });
  }
  page.on("pageerror", (error) => found.errors.push(error.message));
  await page.goto(address, { timeout: PATIENCE });
  await page.waitForFunction(() => document.body.dataset.ready === "yes", null, { timeout: PATIENCE });
  return page;
}

const shot = (page, name) => page.screenshot({ timeout: PATIENCE, path: join(asked.images, `${name}.png`) });
const different = (one, other) => Number(Buffer.compare(one, other) !== 0);
const settled = (page) => page.waitForTimeout(1500);
const seconds = async (page) => {
  const [minutes, rest] = (await page.textContent("#clock")).split(" / ")[0].split(":");
  return 60 * Number(minutes) + Number(rest);
};

const three = await open(`http://127.0.0.1:${server.address().port}/`, [700, 700], false);
found.three = [];
for (const [index, name] of ["three-open", "three-closed"].entries()) {
  found.three.push(await three.evaluate((at) => window.at(at), asked.instants[index]));
  await shot(three, name);
}
await three.close();

const address = `file://${asked.html}`;
const page = await open(address, [900, 700], true);
for (const [index, name] of ["page-open", "page-closed"].entries()) {
  await page.evaluate((at) => { location.hash = `t=${at}`; }, asked.instants[index]);
  await settled(page);
  await shot(page, name);
}
const rest = await page.screenshot({ timeout: PATIENCE });
await page.keyboard.press("Home");
const before = await seconds(page);
await page.keyboard.press("Space");
await page.waitForTimeout(3000);
await page.keyboard.press("Space");
await settled(page);
found.played = (await seconds(page)) - before;
const after = await page.screenshot({ timeout: PATIENCE });
found.moved = different(rest, after);
await page.mouse.move(450, 300);
await page.mouse.down();
await page.mouse.move(620, 320, { steps: 5 });
await page.mouse.up();
await settled(page);
const turned = await page.screenshot({ timeout: PATIENCE });
found.turned = different(after, turned);
await page.mouse.wheel(0, -400);
await settled(page);
found.zoomed = different(turned, await page.screenshot({ timeout: PATIENCE }));
await shot(page, "page-side");
await page.close();

const phone = await open(`${address}#t=${asked.instants[0]}`, [390, 844], true);
await settled(phone);
await shot(phone, "page-phone");
await browser.close();
server.close();
console.log(JSON.stringify(found));
