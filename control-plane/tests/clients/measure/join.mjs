// Time from `room.connect()` to the first decoded frame of somebody who already publishes:
// livekit-client in Chromium on loopback. Arguments: number of joins (default 50). Prints JSON,
// times in milliseconds.

import { launchBrowser } from '../lib/browser.mjs';
import { signalUrl } from '../lib/env.mjs';
import { uniqueRoom } from '../lib/room.mjs';
import { mintToken } from '../lib/token.mjs';
import { serve } from '../sdk-js/serve.mjs';

const joins = Number(process.argv[2] ?? 50);
const WARM_UP = 3;

// In the page: joins once, resolves to the times at which each step was reached.
async function joinOnce([url, token]) {
  const room = new harness.livekit.Room();
  const begun = performance.now();
  const reached = {};
  const reach = (step) => (reached[step] ??= performance.now() - begun);
  room.on('signalConnected', () => reach('signal'));
  const decoded = new Promise((resolve) => {
    room.on('trackSubscribed', (track) => {
      reach('subscribed');
      const element = track.attach();
      document.querySelector('main').append(element);
      element.requestVideoFrameCallback(resolve);
    });
  });
  await room.connect(url, token);
  reach('connected');
  await decoded;
  reach('frame');
  await room.disconnect();
  document.querySelector('main').replaceChildren();
  return reached;
}

function summary(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share) =>
    Math.round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]);
  return { p50: at(0.5), p95: at(0.95), max: at(1) };
}

const site = await serve();
const browser = await launchBrowser();
try {
  const room = uniqueRoom('join');
  const [publisher, viewer] = [await browser.context.newPage(), await browser.context.newPage()];
  for (const page of [publisher, viewer]) {
    await page.goto(`${site.origin}/harness/index.html`);
    await page.waitForFunction(() => window.harness);
  }
  await publisher.evaluate(
    async ([url, token]) => {
      await harness.join('publisher', url, token);
      const resolution = { width: 640, height: 360 };
      await harness.members
        .get('publisher')
        .room.localParticipant.setCameraEnabled(true, { resolution });
    },
    [signalUrl, await mintToken(room, 'publisher')],
  );
  const times = [];
  for (let i = 0; i < joins + WARM_UP; i += 1) {
    times.push(await viewer.evaluate(joinOnce, [signalUrl, await mintToken(room, `viewer-${i}`)]));
  }
  times.splice(0, WARM_UP);
  const steps = ['signal', 'connected', 'subscribed', 'frame'];
  const report = Object.fromEntries(
    steps.map((step) => [step, summary(times.map((t) => t[step]))]),
  );
  console.log(JSON.stringify({ measurement: 'join', unit: 'ms', joins, ...report }));
} finally {
  await browser.close();
  site.close();
}
