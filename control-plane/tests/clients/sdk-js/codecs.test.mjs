// Every video codec the browser can encode, in the form the SDK publishes it: simulcast for VP8 and
// H.264, of which a viewer gets a smaller picture when it asks for one; SVC for VP9 and AV1, of which
// every viewer gets the whole.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scene } from './scene.mjs';

const CAPTURE = { resolution: { width: 960, height: 540 } };

async function seesWhole(join, codec) {
  const [alice, bob] = [await join('alice'), await join('bob')];
  await alice.publishCamera(CAPTURE, { videoCodec: codec, backupCodec: false });
  const full = await bob.seesWidth('alice', 960);
  assert.equal(full.codec.toLowerCase(), `video/${codec}`);
  return bob;
}

for (const codec of ['vp9', 'av1']) {
  test(`${codec}: decoded in full size`, scene(async ({ join }) => void (await seesWhole(join, codec))));
}

for (const codec of ['vp8', 'h264']) {
  test(
    `${codec}: decoded in full size, then in the smallest`,
    scene(async ({ join }) => {
      const bob = await seesWhole(join, codec);
      await bob.run((m) => {
        m.publication('alice', 'camera').setVideoQuality(harness.livekit.VideoQuality.LOW);
      });
      const accept = (s) => s.frameWidth < 400;
      await bob.sees('alice', { what: 'a small picture', accept });
    }),
  );
}
