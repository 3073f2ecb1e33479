// How a viewer's browser reports on the packets that it gets: by stream (RFC 8888) where a field trial lets it take
// our offer of that, and else for the whole transport. Either way it gets what its link carries.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { explain } from '../lib/explain.mjs';
import { mintToken } from '../lib/token.mjs';
import { until } from '../lib/until.mjs';
import { scene } from './scene.mjs';

const TRIAL = '--force-fieldtrials=WebRTC-RFC8888CongestionControlFeedback/Enabled,offer:true/';

// More than is taken to be carried before anything is known, and less than two cameras make together.
const GROWN = 2_550_000;
const CAMERA = [
  { resolution: { width: 1280, height: 720 } },
  { simulcast: false, videoEncoding: { maxBitrate: 5_000_000, maxFramerate: 30 } },
];

// Two people with large pictures, and a viewer; the reports are those its browser agreed to.
const called = (flags, reports) =>
  scene(async ({ stage, room, join }) => {
    for (const identity of ['alice', 'carol']) {
      const person = await join(identity, { connect: { autoSubscribe: false } });
      await person.publishCamera(...CAMERA);
      await person.publishTone();
    }
    const token = await mintToken(room, 'bob');
    const bob = await stage.joinWith(token, 'bob');
    await bob.sees('alice');
    await bob.hears('alice');

    const answer = await bob.run((m) => m.answer());
    const agreed = ['ack ccfb', 'transport-cc'].filter((kind) => answer.includes(kind));
    assert.deepEqual(agreed, [reports.kind]);
    const carries = async () => {
      await pause(1000);
      const { feedback, estimate } = await explain(token);
      assert.equal(feedback, reports.told);
      return estimate > GROWN;
    };
    await until('the link is found to carry more', carries, 80_000);
    await Promise.all(['alice', 'carol'].map((identity) => bob.seesWidth(identity, 1280)));
    await bob.hears('carol');
  }, flags);

test(
  'a browser with the field trial reports by stream, and more is found to be carried',
  called([TRIAL], { kind: 'ack ccfb', told: 'FEEDBACK_BY_STREAM' }),
);

test(
  'a browser without it reports for the whole transport, and more is found to be carried',
  called([], { kind: 'transport-cc', told: 'FEEDBACK_TRANSPORT_WIDE' }),
);

test(
  'a viewer that reports by stream gets the quality it asks for, up and down, and what comes later',
  scene(
    async ({ join }) => {
      const [alice, bob] = [await join('alice'), await join('bob')];
      await alice.publishCamera({ resolution: { width: 960, height: 540 } });
      for (const [quality, width] of [
        [2, 960],
        [0, 320],
        [2, 960],
      ]) {
        await bob.until('knows the camera', (m) => Boolean(m.publication('alice', 'camera')));
        await bob.run((m, quality) => m.publication('alice', 'camera').setVideoQuality(quality), quality);
        await bob.seesWidth('alice', width);
      }
      // A section that carried something else before.
      await alice.publishTone();
      await bob.hears('alice');
      await alice.run((m) => m.room.localParticipant.setCameraEnabled(false));
      const carol = await join('carol');
      await carol.publishCamera();
      await bob.sees('carol');
    },
    [TRIAL],
  ),
);
