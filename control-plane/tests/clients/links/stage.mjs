// A call over a cable that can be made bad: somebody at the server's end publishes, somebody at the client's home
// watches, and what came of it is written down twice a second.

import { fileURLToPath } from 'node:url';
import { setTimeout as pause } from 'node:timers/promises';
import { uniqueRoom } from '../lib/room.mjs';
import { mintToken } from '../lib/token.mjs';
import { obstacle as noNamespaces } from '../network/namespaces.mjs';
import { KEY, ORIGIN, Scene } from '../network/scene.mjs';
import { obstacle as noShaper } from '../network/shaper.mjs';
import { Member } from '../sdk-js/member.mjs';

const path = (relative) => fileURLToPath(new URL(relative, import.meta.url));
const FILES = {
  '/harness/': path('../sdk-js/harness/'),
  '/livekit-client/': path('../node_modules/livekit-client/dist/'),
};
const LOOK_MS = 500;

// The harness comes from nowhere, so that the browser takes the server for one of the local network.
const UNGUARDED = ['--disable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebSockets,LocalNetworkAccessChecksWebRTC'];

// Why this machine cannot do it; null when it can.
export async function obstacle() {
  return noShaper() ?? noNamespaces();
}

export class Stage {
  static async open() {
    const stage = new Stage();
    stage.scene = await Scene.open({ isShaped: true });
    stage.far = await stage.scene.launch('server', UNGUARDED);
    stage.near = await stage.scene.launch('client', UNGUARDED);
    return stage;
  }

  get shaper() {
    return this.scene.internet.shaper;
  }

  // `body(publisher, viewer)`, in a fresh room; they are gone afterwards. With `isPublisherNear` the cable is the
  // publisher's. `options` are those of the SDK's rooms.
  async call(body, isPublisherNear = false, options = {}) {
    const room = uniqueRoom('links');
    const pages = [];
    const enter = async ({ context }, identity) => {
      const page = await context.newPage();
      pages.push(page);
      for (const [prefix, folder] of Object.entries(FILES)) {
        await page.route(`${ORIGIN}${prefix}**`, (route) => route.fulfill({ path: folder + new URL(route.request().url()).pathname.slice(prefix.length) }));
      }
      await page.goto(`${ORIGIN}/harness/index.html`);
      await page.waitForFunction(() => window.harness);
      const token = await mintToken(room, identity, {}, {}, KEY);
      const member = new Member(page, identity, identity);
      member.token = token;
      await page.evaluate(([key, url, token, options]) => harness.join(key, url, token, options, {}), [identity, ORIGIN.replace('http', 'ws'), token, options]);
      return member;
    };
    try {
      const [publishes, views] = isPublisherNear ? [this.near, this.far] : [this.far, this.near];
      await body(await enter(publishes, 'publisher'), await enter(views, 'viewer'));
    } finally {
      await Promise.allSettled(pages.map((page) => page.close()));
    }
  }

  async close() {
    await this.far?.close();
    await this.near?.close();
    await this.scene.close();
  }
}

// What the viewer decodes of the publisher for so many seconds, looked at twice a second.
export async function watch(viewer, seconds) {
  const looks = [];
  const end = Date.now() + seconds * 1000;
  while (Date.now() < end) {
    const stats = await viewer.inbound('publisher', 'camera');
    if (stats) looks.push({ at: Date.now(), ...stats });
    await pause(LOOK_MS);
  }
  return looks;
}

// In few figures: the picture most of the time of the last third, what was decoded, how often and how long it froze.
export function summary(looks) {
  const [first, last] = [looks[0], looks.at(-1)];
  const seconds = (last.at - first.at) / 1000;
  const late = looks.slice(-Math.ceil(looks.length / 3)).map(({ frameWidth }) => frameWidth);
  const width = late.sort((a, b) => late.filter((w) => w === b).length - late.filter((w) => w === a).length)[0];
  return {
    width,
    fps: Math.round((last.framesDecoded - first.framesDecoded) / seconds),
    kbit: Math.round(((last.bytesReceived - first.bytesReceived) * 8) / seconds / 1000),
    framesDecoded: last.framesDecoded - first.framesDecoded,
    freezes: last.freezeCount - first.freezeCount,
    frozenSeconds: Number((last.totalFreezesDuration - first.totalFreezesDuration).toFixed(2)),
    lost: last.packetsLost - first.packetsLost,
    keyframes: last.keyFramesDecoded - first.keyFramesDecoded,
  };
}

// Seconds from the first look on until `holds`, and for three looks after that; undefined when it never did.
export function secondsUntil(looks, holds) {
  const found = looks.findIndex((_, index) => index + 3 <= looks.length && looks.slice(index, index + 3).every(holds));
  return found < 0 ? undefined : (looks[found].at - looks[0].at) / 1000;
}

// What the service says of the viewer's only picture: its first finding.
export function findingOf(viewer) {
  return viewer.page.evaluate(async (token) => {
    const answer = await fetch('/web/subscriptions', { headers: { Authorization: `Bearer ${token}` } });
    const { subscriptions, estimate } = await answer.json();
    return { ...subscriptions[0].findings[0], estimate, flowing: subscriptions[0].flowing };
  }, viewer.token);
}
