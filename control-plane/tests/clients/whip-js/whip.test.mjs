// Chromium publishes by WHIP and plays by WHEP, with nothing but a peer connection and fetch.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until } from '../lib/until.mjs';
import { scene } from './scene.mjs';

test(
  'an encoder is a participant: others see and hear it until it goes',
  scene(async ({ join, publish }) => {
    const bob = await join('bob');
    const ann = await publish('ann');
    await bob.sees('ann');
    await bob.hears('ann');
    assert.equal(await ann.close(), 200);
    await bob.told('participantDisconnected', (p) => p.identity === 'ann');
  }),
);

test(
  'a player sees and hears an encoder, and nobody sees the player',
  scene(async ({ join, publish, play }) => {
    const bob = await join('bob');
    // Nobody publishes yet.
    const viewer = await play('viewer');
    await publish('ann');
    await viewer.sees();
    await viewer.hears();
    const others = await bob.run((m) => [...m.room.remoteParticipants.keys()]);
    assert.deepEqual(others, ['ann']);
    assert.equal(await viewer.close(), 200);
  }),
);

test(
  'a player sees an encoder in each codec that it prefers',
  scene(async ({ publish, play }) => {
    for (const codec of ['VP8', 'H264', 'VP9', 'AV1']) {
      const encoder = await publish(codec, [], codec);
      const viewer = await play(`viewer-${codec}`, codec);
      await viewer.sees();
      const [sent] = await encoder.run((s) => s.outbound());
      assert.equal(sent.codec, `video/${codec}`);
      await viewer.close();
      await encoder.close();
    }
  }),
);

test(
  'a player sees a participant of the SDK',
  scene(async ({ join, play }) => {
    const ann = await join('ann');
    await ann.publishCamera();
    await ann.publishTone();
    const viewer = await play('viewer');
    await viewer.sees();
    await viewer.hears();
  }),
);

test(
  'simulcast: a player gets the largest, and the layer it asks for',
  scene(async ({ publish, play }) => {
    const ann = await publish('ann', ['lo', 'mid', 'hi']);
    const viewer = await play('viewer');
    await viewer.sees('the largest', (s) => s.frameWidth === 960);
    const choose = (body) =>
      viewer.run(
        async (s, body) => {
          const headers = { 'content-type': 'application/json' };
          return (await s.request('POST', headers, body, '/layer')).status;
        },
        JSON.stringify(body),
      );
    assert.equal(await choose({ encodingId: 'lo' }), 200);
    await viewer.sees('the smallest', (s) => s.frameWidth === 240);
    assert.equal(await choose({}), 200);
    await viewer.sees('the largest again', (s) => s.frameWidth === 960);
    const sent = await ann.run((s) => s.outbound());
    assert.deepEqual(sent.map((s) => s.rid).sort(), ['hi', 'lo', 'mid']);
  }),
);

test(
  'a player goes on when the publisher comes back, and with the next one',
  scene(async ({ publish, play }) => {
    const viewer = await play('viewer');
    for (const identity of ['ann', 'ann', 'bob']) {
      const publisher = await publish(identity);
      const { ssrc } = await viewer.sees(`pictures of ${identity}`);
      await viewer.hears();
      assert.equal(ssrc, (await viewer.video()).ssrc);
      await publisher.close();
    }
  }),
);

test(
  'candidates trickle in, and ICE restarts without a gap',
  scene(async ({ publish, play }) => {
    const ann = await publish('ann');
    const viewer = await play('viewer');
    await viewer.sees();
    for (const client of [ann, viewer]) {
      const found = () => client.run((s) => s.candidates.length > 0);
      await until('candidates are found', found);
      assert.equal(await client.run((s) => s.patch()), 204);
      const pair = () =>
        client.run((s) => s.peer.localDescription.sdp.match(/a=ice-ufrag:(.*)/)[1]);
      const before = await pair();
      assert.equal(await client.run((s) => s.patch(true)), 200);
      assert.notEqual(await pair(), before);
      await viewer.sees('pictures after the restart');
      assert.equal(await client.run((s) => s.peer.iceConnectionState !== 'failed'), true);
    }
  }),
);

test(
  'a player that offers to report on packets by stream (RFC 8888) is taken at its word',
  scene(
    async ({ publish, play }) => {
      await publish('ann', ['lo', 'mid', 'hi']);
      const viewer = await play('viewer');
      // As the browser read the answer.
      const answer = await viewer.run((s) => s.peer.remoteDescription.sdp);
      const media = answer.split('\r\nm=').slice(1);
      assert.deepEqual(media.map((section) => section.includes(' ack ccfb')), [true, true]);
      await viewer.sees('the largest', (s) => s.frameWidth === 960);
      await viewer.hears();
    },
    ['--force-fieldtrials=WebRTC-RFC8888CongestionControlFeedback/Enabled,offer:true/'],
  ),
);
