// Mute and unmute: others are told, and what they see and hear stops and comes back.

import { test } from 'node:test';
import { scene } from './scene.mjs';

test(
  'a muted camera stops for others and comes back',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishCamera();
    await bob.sees('alice');
    await alice.run((m) => m.room.localParticipant.setCameraEnabled(false));
    await bob.told('trackMuted', (publication) => publication.source === 'camera');
    await bob.seesStill('alice');
    await alice.run((m) => m.room.localParticipant.setCameraEnabled(true));
    await bob.told('trackUnmuted', (publication) => publication.source === 'camera');
    await bob.sees('alice');
  }),
);

test(
  'a muted microphone is silent for others and comes back',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await alice.publishTone();
    await bob.hears('alice');
    const microphone = (m) => m.room.localParticipant.getTrackPublication('microphone');
    await alice.run(`(m) => (${microphone})(m).mute()`);
    await bob.told('trackMuted', (publication) => publication.source === 'microphone');
    await bob.hearsNothing('alice');
    await alice.run(`(m) => (${microphone})(m).unmute()`);
    await bob.told('trackUnmuted', (publication) => publication.source === 'microphone');
    await bob.hears('alice');
  }),
);

test(
  'who joins later knows that a track is muted',
  scene(async ({ join }) => {
    const alice = await join('alice');
    await alice.publishCamera();
    await alice.run((m) => m.room.localParticipant.setCameraEnabled(false));
    const bob = await join('bob');
    await bob.until(
      'knows that the camera is muted',
      (m) => m.publication('alice', 'camera')?.isMuted,
    );
    await alice.run((m) => m.room.localParticipant.setCameraEnabled(true));
    await bob.sees('alice');
  }),
);
