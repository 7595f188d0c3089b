// Keeps the page's files, so that it opens without a network; a new version waits until the old one's pages are closed.
const MINE = `talker ${registration.scope} `, NAME = MINE + "{{version}}";

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll({{files}})));
});
self.addEventListener("activate", (event) => {
  const old = (name) => name.startsWith(MINE) && name !== NAME;
  event.waitUntil(caches.keys().then((names) => Promise.all(names.filter(old).map((name) => caches.delete(name)))));
});
self.addEventListener("fetch", (event) => {
  const found = caches.open(NAME).then((cache) => cache.match(event.request, { ignoreSearch: true }));
  event.respondWith(found.then((answer) => answer || fetch(event.request)));
});
