// The client of 60 lines in control-plane/examples/direct: A offers, B answers, both trickle, connected.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { launchBrowser } from '../lib/browser.mjs';
import { url } from '../lib/env.mjs';
import { packets } from '../lib/metrics.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { serveFolders } from '../lib/serve.mjs';
import { mintToken } from '../lib/token.mjs';
import { until, untilStill } from '../lib/until.mjs';

const FOLDER = fileURLToPath(new URL('../../../examples/direct/', import.meta.url));

const { context, close } = await launchBrowser();
const { origin, close: stop } = await serveFolders({ '/': FOLDER });
after(async () => {
  stop();
  await close();
});

// Keeps hold of the connections the page makes.
function remember() {
  const Original = window.RTCPeerConnection;
  window.made = [];
  window.RTCPeerConnection = class extends Original {
    constructor(...args) {
      super(...args);
      window.made.push(this);
    }
  };
}

async function open(room, identity) {
  const page = await context.newPage();
  await page.addInitScript(remember);
  const token = await mintToken(room, identity);
  await page.goto(`${origin}/index.html#token=${token}&server=${encodeURIComponent(url)}`);
  const status = () => page.locator('#status').innerText();
  // Types of the candidates that carry the media, and frames that were decoded.
  const look = () =>
    page.evaluate(async () => {
      const stats = [...(await window.made.at(-1).getStats()).values()];
      const byId = new Map(stats.map((entry) => [entry.id, entry]));
      const pair = byId.get(stats.find((entry) => entry.type === 'transport')?.selectedCandidatePairId);
      const video = stats.find((entry) => entry.type === 'inbound-rtp' && entry.kind === 'video');
      const type = (id) => byId.get(id)?.candidateType;
      return { types: [type(pair?.localCandidateId), type(pair?.remoteCandidateId)], frames: video?.framesDecoded ?? 0 };
    });
  return { page, status, look };
}

test('it has at most 60 lines, and connects two browsers host to host', async () => {
  const lines = (await readFile(`${FOLDER}direct.js`, 'utf8')).trimEnd().split('\n');
  assert.ok(lines.length <= 60, `${lines.length} lines`);
  await untilStill('packets of earlier calls', packets, 1500, 45_000);
  const before = await packets();
  const room = uniqueRoom('direct');
  const ann = await open(room, 'ann');
  await until('ann waits', async () => (await ann.status()).startsWith('Waiting for the other'));
  const bob = await open(room, 'bob');
  for (const { status, look } of [ann, bob]) {
    await until('connected', async () => (await status()) === 'connected');
    const { frames } = await look();
    await until('frames grow', async () => (await look()).frames > frames + 10);
    assert.deepEqual((await look()).types, ['host', 'host']);
  }
  assert.equal((await packets()) - before, 0, 'packets that came to us or went from us');

  await bob.page.close();
  await until('ann is told', async () => /left|disconnected/.test(await ann.status()));
  const again = await open(room, 'bob');
  await until('connected again', async () => (await again.status()) === 'connected');
  const third = await open(room, 'cleo');
  for (const { page, status } of [ann, again, third]) {
    await until('sent to the server', async () => (await status()) === 'Go on by the server');
    assert.match(await page.locator('#status a').getAttribute('href'), new RegExp(`^${url}/#token=`));
  }
});
