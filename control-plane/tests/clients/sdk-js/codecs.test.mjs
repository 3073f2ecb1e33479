// Every video codec the browser can encode, in the form the SDK publishes it: simulcast for VP8 and
// H.264, SVC for VP9 and AV1. Of each a viewer gets a smaller picture when it asks for one.

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
  test(
    `${codec}: the spatial layer follows the size of the tile, and the picture goes on`,
    scene(async ({ join }) => {
      const alice = await join('alice');
      const bob = await join('bob', { options: { adaptiveStream: true } });
      const carol = await join('carol');
      await alice.publishCamera(CAPTURE, { videoCodec: codec, backupCodec: false });
      const resize = (m, width) => {
        const [element] = m.publication('alice', 'camera').track.attachedElements;
        Object.assign(element.style, { width: `${width}px`, height: `${(width * 9) / 16}px` });
      };
      const first = await bob.sees('alice');
      assert.equal(first.codec.toLowerCase(), `video/${codec}`);
      await bob.run(resize, 960);
      await Promise.all([bob, carol].map((viewer) => viewer.seesWidth('alice', 960)));
      const look = () => Promise.all([bob, carol].map((viewer) => viewer.inbound('alice', 'camera')));
      for (const width of [240, 480, 960, 240]) {
        const before = await look();
        await bob.run(resize, width);
        await bob.seesWidth('alice', width);
        const after = await look();
        const [shown, whole] = after.map((now, i) => now.framesDecoded - before[i].framesDecoded);
        const keys = after[0].keyFramesDecoded - before[0].keyFramesDecoded;
        // Carol's pictures, whom nothing changes for, tell how many there were.
        assert.ok(shown >= whole * 0.7, `${shown} pictures on the way to ${width}, ${whole} of the whole`);
        assert.ok(keys <= 3, `${keys} keyframes on the way to ${width}`);
      }
      // Who asked for nothing kept the whole.
      await carol.seesWidth('alice', 960);
    }),
  );
}

for (const codec of ['vp8', 'h264', 'vp9', 'av1']) {
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
