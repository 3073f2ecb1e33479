// Sound between participants of the Node SDK: what was sent is what is decoded.

import { test } from 'node:test';
import { scene } from './scene.mjs';
import { hearsTone, publishTone } from './tone.mjs';

test(
  'each hears the tone that the other plays',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await publishTone(alice, 440);
    await publishTone(bob, 1000);
    await hearsTone(bob, 'alice', 440);
    await hearsTone(alice, 'bob', 1000);
  }),
);

test(
  'who joins later hears who already plays',
  scene(async ({ join }) => {
    const alice = await join('alice');
    await publishTone(alice);
    await hearsTone(await join('bob'), 'alice');
  }),
);

test(
  'an ended subscription can be taken up again',
  scene(async ({ join }) => {
    const [alice, bob] = [await join('alice'), await join('bob')];
    await publishTone(alice);
    await hearsTone(bob, 'alice');
    const [publication] = bob.room.remoteParticipants.get('alice').trackPublications.values();
    publication.setSubscribed(false);
    await bob.told('trackUnsubscribed');
    publication.setSubscribed(true);
    await hearsTone(bob, 'alice');
  }),
);
