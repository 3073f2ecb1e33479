// Every video codec the browser can encode, in the form the SDK publishes it: simulcast for VP8 and
// H.264, SVC for VP9 and AV1. Of each a viewer gets a smaller picture when it asks for one. Who does not take
// VP9 or AV1 gets VP8, which the SDK sends beside it while that is needed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../lib/until.mjs';
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

// Whether the publisher's browser sends its camera in the second codec, as far as the SDK tells it to.
const sendsBackup = (m) => {
  const { track } = m.room.localParticipant.getTrackPublication('camera');
  const sender = track.simulcastCodecs.get('vp8')?.sender;
  return sender ? sender.getParameters().encodings.some(({ active }) => active) : false;
};

for (const codec of ['vp9', 'av1']) {
  test(
    `${codec}: who does not take it sees VP8, which is sent while that lasts`,
    scene(async ({ join, stage }) => {
      const [alice, bob] = [await join('alice'), await join('bob')];
      await alice.publishCamera(CAPTURE, { videoCodec: codec, backupCodec: true });
      const whole = await bob.seesWidth('alice', 960);
      assert.equal(whole.codec.toLowerCase(), `video/${codec}`);
      assert.equal(await alice.run(sendsBackup), false);
      const simple = await stage.without(`video/${codec}`);
      const carol = await simple.join('carol');
      const shown = await carol.seesWidth('alice', 960);
      assert.equal(shown.codec, 'video/VP8');
      const both = await bob.sees('alice');
      assert.equal(both.codec.toLowerCase(), `video/${codec}`);
      await carol.leave();
      const isOff = async () => !(await alice.run(sendsBackup));
      await until('VP8 is switched off', isOff);
      // Its sender is there, and serves the next one.
      const dave = await simple.join('dave');
      assert.equal((await dave.sees('alice')).codec, 'video/VP8');
    }),
  );
}
