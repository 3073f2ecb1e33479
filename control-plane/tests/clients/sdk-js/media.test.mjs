// Camera and microphone between participants of the JavaScript SDK, with its default codec (VP8,
// simulcast) and with what a conference application switches on: adaptive stream and dynacast.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scene } from './scene.mjs';

const options = { adaptiveStream: true, dynacast: true };

test(
  'three participants see and hear one another',
  scene(async ({ join }) => {
    const members = await Promise.all(
      ['alice', 'bob', 'carol'].map((name) => join(name, { options })),
    );
    await Promise.all(members.flatMap((m) => [m.publishCamera(), m.publishMicrophone()]));
    for (const viewer of members) {
      for (const other of members.filter((m) => m !== viewer)) {
        await viewer.sees(other.identity);
        await viewer.hears(other.identity);
      }
    }
  }),
);

test(
  'who joins later sees and hears what is already published',
  scene(async ({ join }) => {
    const alice = await join('alice', { options });
    await alice.publishCamera();
    await alice.publishMicrophone();
    const bob = await join('bob', { options });
    await bob.sees('alice');
    await bob.hears('alice');
  }),
);

test(
  'tracks published before the connection is up arrive all the same',
  scene(async ({ join }) => {
    const [alice, bob] = await Promise.all([join('alice'), join('bob')]);
    await Promise.all([alice, bob].flatMap((m) => [m.publishCamera(), m.publishTone()]));
    await bob.sees('alice');
    await alice.sees('bob');
    await bob.hears('alice');
  }),
);

test(
  'a track that is taken back disappears, and comes back when published again',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    await bob.sees('alice');
    await alice.run(async (m) => {
      const camera = m.room.localParticipant.getTrackPublication('camera');
      await m.room.localParticipant.unpublishTrack(camera.track);
    });
    await bob.told('trackUnpublished', (publication) => publication.source === 'camera');
    assert.equal(await bob.run((m) => m.remote('alice').trackPublications.size), 0);
    await alice.publishCamera();
    await bob.sees('alice');
  }),
);

test(
  'four tracks of one participant arrive as four',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    await alice.publishTone();
    await alice.run(async (m) => {
      const [video] = await harness.livekit.createLocalTracks({
        video: { resolution: { width: 320, height: 180 } },
      });
      await m.room.localParticipant.publishTrack(video.mediaStreamTrack, {
        source: 'screen_share',
        simulcast: false,
      });
      await m.room.localParticipant.publishTrack(harness.tone(), { source: 'screen_share_audio' });
    });
    await bob.sees('alice', { source: 'camera' });
    await bob.sees('alice', { source: 'screen_share' });
    await bob.hears('alice', 'microphone');
    await bob.hears('alice', 'screen_share_audio');
    // A browser plays in step what is of one stream.
    const streams = await bob.run((m) =>
      ['camera', 'microphone', 'screen_share', 'screen_share_audio'].map(
        (source) => m.publication('alice', source).track.mediaStream.id,
      ),
    );
    assert.equal(streams[0], streams[1]);
    assert.equal(streams[2], streams[3]);
    assert.notEqual(streams[0], streams[2]);
  }),
);
